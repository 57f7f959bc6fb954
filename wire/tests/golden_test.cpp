// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Our structures and our seal against bytes that golden.py made without them.
#include "wire/tests/golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "wire/record.hpp"
#include "wire/seal.hpp"

namespace undercroft::wire {
namespace {

template <typename T>
std::vector<std::uint8_t> bytes_of(T const& value)
{
    auto const* const first = reinterpret_cast<std::uint8_t const*>(&value);
    return {first, first + sizeof(value)};
}

template <std::size_t N>
std::vector<std::uint8_t> vector_of(std::array<std::uint8_t, N> const& bytes)
{
    return {bytes.begin(), bytes.end()};
}

template <typename T>
T load(std::span<std::uint8_t const> bytes)
{
    T value;
    EXPECT_GE(bytes.size(), sizeof(value));
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
}

template <std::size_t N>
std::array<std::uint8_t, N> counting_from(std::uint8_t first)
{
    std::array<std::uint8_t, N> bytes;
    for (std::size_t i = 0; i < N; ++i)
        bytes[i] = static_cast<std::uint8_t>(first + i);
    return bytes;
}

Key const pre_shared = counting_from<32>(0);
std::array<std::uint8_t, 16> const machine = counting_from<16>(0x10);
std::array<std::uint8_t, 16> const boot = counting_from<16>(0xF0);

Record write_record()
{
    Record record{};
    record.time_utc_ns = std::uint64_t{0x1122334455667788};
    record.address = std::uint64_t{0x0102030405060708};
    record.length = std::uint32_t{16};
    record.kind = static_cast<std::uint8_t>(Kind::storage_write);
    record.source = std::uint16_t{0x0203};
    record.entropy = std::uint16_t{0xABCD};
    record.flags = static_cast<std::uint16_t>(record_flag::first_of_request | record_flag::last_of_request |
                                              record_flag::has_entropy | record_flag::has_content);
    record.content_bytes = std::uint32_t{16};
    return record;
}

TEST(Golden, Record)
{
    EXPECT_EQ(bytes_of(write_record()), vector_of(golden::record_write));
    Record flush{};
    flush.time_utc_ns = std::uint64_t{0x1122334455667789};
    flush.kind = static_cast<std::uint8_t>(Kind::storage_flush);
    flush.source = std::uint16_t{0x0203};
    flush.flags = static_cast<std::uint16_t>(record_flag::first_of_request | record_flag::last_of_request);
    EXPECT_EQ(bytes_of(flush), vector_of(golden::record_flush));
}

TEST(Golden, DerivedKey)
{
    EXPECT_EQ(derive_key(pre_shared, Direction::from_sensor, machine, boot, 0), golden::key_from_sensor);
}

TEST(Golden, DataDatagramSealsToTheSameBytes)
{
    DatagramHeader header{};
    header.magic = datagram_magic;
    header.version = datagram_version;
    header.type = static_cast<std::uint8_t>(Type::data);
    header.stream = static_cast<std::uint16_t>(Stream::storage);
    std::ranges::copy(machine, header.machine_id);
    std::ranges::copy(boot, header.boot_id);
    header.counter = std::uint64_t{0x0A0B0C0D0E0F};
    header.first_sequence = std::uint64_t{1000};
    header.count = std::uint32_t{2};
    header.sealed_bytes = std::uint32_t{32 + 80};
    DataBody body{};
    body.slot = std::uint64_t{9};
    body.oldest_slot = std::uint64_t{4};
    body.slot_bytes = std::uint32_t{80};
    body.fragments = std::uint16_t{1};
    std::vector<std::uint8_t> datagram = bytes_of(header);
    auto const add = [&](std::vector<std::uint8_t> const& bytes) {
        datagram.insert(datagram.end(), bytes.begin(), bytes.end());
    };
    add(bytes_of(body));
    add(bytes_of(write_record()));
    add(vector_of(counting_from<16>(0)));
    add(vector_of(golden::record_flush));
    datagram.resize(datagram.size() + tag_bytes);
    seal(derive_key(pre_shared, Direction::from_sensor, machine, boot, 0), datagram);
    EXPECT_EQ(datagram, vector_of(golden::datagram_data));
}

TEST(Golden, AckDatagramOpensToItsFields)
{
    auto datagram = vector_of(golden::datagram_ack);
    auto const header = load<DatagramHeader>(datagram);
    EXPECT_EQ(header.instance.get(), 0x1234567890ABCDEFU);
    EXPECT_EQ(header.type.get(), static_cast<std::uint8_t>(Type::ack));
    auto const key = derive_key(pre_shared, Direction::from_collector, machine, boot, header.instance.get());
    ASSERT_TRUE(open(key, datagram));
    auto const plaintext = std::span{datagram}.subspan(sizeof(DatagramHeader));
    auto const body = load<AckBody>(plaintext);
    EXPECT_EQ(body.next_slot.get(), 10U);
    EXPECT_EQ(body.highest_counter.get(), 77U);
    auto const entry = load<AckEntry>(plaintext.subspan(sizeof(AckBody)));
    EXPECT_EQ(entry.slot.get(), 12U);
    EXPECT_EQ(entry.received.get(), 5U);
}

} // namespace
} // namespace undercroft::wire
