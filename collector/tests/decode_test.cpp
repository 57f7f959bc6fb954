// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/ingest/decode.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "collector/tests/slots.hpp"

namespace undercroft::collector {
namespace {

struct DataDatagram {
    wire::DatagramHeader header{};
    wire::DataBody body{};
    std::vector<std::uint8_t> payload = std::vector<std::uint8_t>(100);

    DataDatagram()
    {
        header.magic = wire::datagram_magic;
        header.version = wire::datagram_version;
        header.type = static_cast<std::uint8_t>(wire::Type::data);
        header.stream = static_cast<std::uint16_t>(wire::Stream::storage);
        header.first_sequence = std::uint64_t{1000};
        header.count = std::uint32_t{3};
        body.slot = std::uint64_t{7};
        body.oldest_slot = std::uint64_t{5};
        body.slot_bytes = std::uint32_t{300};
        body.offset = std::uint32_t{100};
        body.index = std::uint16_t{1};
        body.fragments = std::uint16_t{3};
    }
    [[nodiscard]] std::vector<std::uint8_t> bytes() const
    {
        wire::DatagramHeader sized = header;
        if (sized.sealed_bytes.get() == 0)
            sized.sealed_bytes = static_cast<std::uint32_t>(sizeof(body) + payload.size());
        std::vector<std::uint8_t> all(sizeof(sized) + sizeof(body) + payload.size() + wire::tag_bytes);
        std::memcpy(all.data(), &sized, sizeof(sized));
        std::memcpy(all.data() + sizeof(sized), &body, sizeof(body));
        std::memcpy(all.data() + sizeof(sized) + sizeof(body), payload.data(), payload.size());
        return all;
    }
};

Counter error_of(std::function<void(DataDatagram&)> const& spoil)
{
    DataDatagram datagram;
    spoil(datagram);
    auto const bytes = datagram.bytes();
    auto const message = decode(bytes);
    return message ? Counter::end_ : message.error();
}

TEST(Decode, ValidDataIsTakenOverFieldByField)
{
    auto const bytes = DataDatagram{}.bytes();
    auto const message = decode(bytes);
    ASSERT_TRUE(message.has_value());
    auto const& data = std::get<DataFragment>(*message);
    EXPECT_EQ(data.slot, 7U);
    EXPECT_EQ(data.oldest_slot, 5U);
    EXPECT_EQ(data.first_sequence, 1000U);
    EXPECT_EQ(data.count, 3U);
    EXPECT_EQ(data.offset, 100U);
    EXPECT_EQ(data.bytes.size(), 100U);
}

TEST(Decode, EachBadFieldOfDataHasItsCounter)
{
    auto const u32 = [](std::uint32_t value) { return Le<std::uint32_t>{value}; };
    auto const u16 = [](std::uint16_t value) { return Le<std::uint16_t>{value}; };
    auto const u64 = [](std::uint64_t value) { return Le<std::uint64_t>{value}; };
    using D = DataDatagram;
    EXPECT_EQ(error_of([&](D& d) { d.header.magic = u32(1); }), Counter::bad_magic);
    EXPECT_EQ(error_of([](D& d) { d.header.version = std::uint8_t{2}; }), Counter::wrong_version);
    EXPECT_EQ(error_of([](D& d) { d.header.type = std::uint8_t{3}; }), Counter::wrong_type);
    EXPECT_EQ(error_of([](D& d) { d.header.type = std::uint8_t{0}; }), Counter::wrong_type);
    EXPECT_EQ(error_of([&](D& d) { d.header.instance = u64(1); }), Counter::wrong_instance);
    EXPECT_EQ(error_of([&](D& d) { d.header.sealed_bytes = u32(131); }), Counter::wrong_size);
    EXPECT_EQ(error_of([&](D& d) { d.header.sealed_bytes = u32(0xFFFFFFFF); }), Counter::wrong_size);
    EXPECT_EQ(error_of([&](D& d) { d.header.stream = u16(0); }), Counter::stream_unsupported);
    EXPECT_EQ(error_of([&](D& d) { d.header.stream = u16(3); }), Counter::stream_unsupported);
    EXPECT_EQ(error_of([&](D& d) { d.header.count = u32(0); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.header.first_sequence = u64(~std::uint64_t{1}); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.slot_bytes = u32(0); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.slot_bytes = u32(32769); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.slot_bytes = u32(199); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.offset = u32(0); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.offset = u32(0xFFFFFFF0); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.offset = u32(200); }), Counter::data_malformed); // the end, yet not the last
    EXPECT_EQ(error_of([&](D& d) { d.body.index = u16(3); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.index = u16(0); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.fragments = u16(0); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.fragments = u16(65); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.oldest_slot = u64(8); }), Counter::data_malformed);
    EXPECT_EQ(error_of([&](D& d) { d.body.slot = u64(~std::uint64_t{0}); }), Counter::data_malformed);
    EXPECT_EQ(error_of([](D& d) { d.payload.clear(); }), Counter::data_malformed);
}

TEST(Decode, EveryShorterDatagramIsRefused)
{
    auto const bytes = DataDatagram{}.bytes();
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(decode(std::span{bytes}.first(size)).has_value()) << size;
}

TEST(Decode, HelloAndStatusMustHoldTheEntriesTheyAnnounce)
{
    auto const make = [](wire::Type type, std::vector<std::uint8_t> const& plaintext, std::uint32_t count) {
        wire::DatagramHeader header{};
        header.magic = wire::datagram_magic;
        header.version = wire::datagram_version;
        header.type = static_cast<std::uint8_t>(type);
        header.count = count;
        header.sealed_bytes = static_cast<std::uint32_t>(plaintext.size());
        std::vector<std::uint8_t> all(wire::datagram_overhead + plaintext.size());
        std::memcpy(all.data(), &header, sizeof(header));
        std::copy(plaintext.begin(), plaintext.end(), all.begin() + sizeof(header));
        return all;
    };
    std::vector<std::uint8_t> hello(sizeof(wire::HelloBody) + 2 * sizeof(wire::DiskInfo));
    hello[offsetof(wire::HelloBody, disks)] = 2;
    EXPECT_TRUE(decode(make(wire::Type::hello, hello, 0)).has_value());
    hello[offsetof(wire::HelloBody, disks)] = 3;
    EXPECT_EQ(decode(make(wire::Type::hello, hello, 0)).error(), Counter::hello_malformed);
    std::vector<std::uint8_t> many(sizeof(wire::HelloBody) + 33 * sizeof(wire::DiskInfo));
    many[offsetof(wire::HelloBody, disks)] = 33;
    EXPECT_EQ(decode(make(wire::Type::hello, many, 0)).error(), Counter::hello_malformed);

    std::vector<std::uint8_t> const status(sizeof(wire::StatusBody) + 2 * sizeof(wire::Counter));
    EXPECT_TRUE(decode(make(wire::Type::status, status, 2)).has_value());
    EXPECT_EQ(decode(make(wire::Type::status, status, 1)).error(), Counter::status_malformed);
    // 2^28 + 2 counters would have the same size modulo 2^32
    EXPECT_EQ(decode(make(wire::Type::status, status, 0x10000002)).error(), Counter::status_malformed);
}

TEST(Slot, HostileRecordsDoNotAddUp)
{
    auto const good = test::slot_bytes(0, 4);
    EXPECT_TRUE(slot_adds_up(good, 4, wire::Stream::storage));
    EXPECT_FALSE(slot_adds_up(good, 3, wire::Stream::storage));
    EXPECT_FALSE(slot_adds_up(good, 5, wire::Stream::storage));
    for (std::size_t size = 0; size < good.size(); ++size)
        EXPECT_FALSE(slot_adds_up(std::span{good}.first(size), 4, wire::Stream::storage)) << size;
    auto const spoilt = [&](std::size_t at, std::uint8_t value) {
        auto bytes = good;
        bytes[at] = value;
        return slot_adds_up(bytes, 4, wire::Stream::storage);
    };
    EXPECT_FALSE(spoilt(offsetof(wire::Record, content_bytes) + 3, 0xFF)); // content far beyond the slot
    EXPECT_FALSE(spoilt(offsetof(wire::Record, content_bytes) + 1, 4));    // more than `length`
    EXPECT_FALSE(spoilt(offsetof(wire::Record, kind), 17));                // a memory record
    EXPECT_FALSE(spoilt(offsetof(wire::Record, kind), 34));                // not known
    EXPECT_FALSE(spoilt(offsetof(wire::Record, time_utc_ns) + 7, 0x80));   // past the time column
    EXPECT_FALSE(spoilt(offsetof(wire::Record, flags), 0));                // content without its flag
}

TEST(Slot, KindsBelongToTheirStream)
{
    auto const memory = test::memory_slot_bytes();
    EXPECT_TRUE(slot_adds_up(memory, 5, wire::Stream::memory));
    EXPECT_FALSE(slot_adds_up(memory, 5, wire::Stream::storage));
    EXPECT_FALSE(slot_adds_up(test::slot_bytes(0, 4), 4, wire::Stream::memory));
    EXPECT_FALSE(slot_adds_up(memory, 5, wire::Stream::log));
    for (unsigned kind = 0; kind < 256; ++kind) {
        auto bytes = test::slot_bytes(1, 1); // a read
        bytes[offsetof(wire::Record, kind)] = static_cast<std::uint8_t>(kind);
        EXPECT_EQ(slot_adds_up(bytes, 1, wire::Stream::storage), (kind >= 1 && kind <= 4) || kind == 32 || kind == 33);
        // 48, memory_mode, needs its request.
        EXPECT_EQ(slot_adds_up(bytes, 1, wire::Stream::memory),
                  (kind >= 16 && kind <= 20) || (kind > 48 && kind <= 54));
    }
}

TEST(Slot, AModeCarriesAWholeRequest)
{
    for (std::size_t const size : {std::size_t{0}, sizeof(wire::MemoryRequest) - 1, sizeof(wire::MemoryRequest) + 1}) {
        std::vector<std::uint8_t> bytes;
        std::vector<std::uint8_t> const content(size);
        test::append_record(bytes, test::memory_record(wire::Kind::memory_mode, 0, static_cast<std::uint32_t>(size)),
                            content);
        EXPECT_FALSE(slot_adds_up(bytes, 1, wire::Stream::memory)) << size;
    }
}

} // namespace
} // namespace undercroft::collector
