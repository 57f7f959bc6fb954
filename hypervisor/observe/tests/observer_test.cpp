// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/observe/observer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "hypervisor/observe/entropy.hpp"

namespace undercroft::observe {
namespace {

namespace flag = wire::record_flag;

/// RAM at [0, 1 MiB) whose bytes follow from their address.
class Ram final : public core::GuestMemory {
public:
    Ram() : bytes_(1U << 20)
    {
        std::uint32_t x = 1;
        for (std::byte& b : bytes_) {
            x = x * 1664525 + 1013904223;
            b = static_cast<std::byte>(x >> 24 & 0x7f);
        }
    }
    bool read(Gpa from, std::span<std::byte> into) const override
    {
        std::byte const* const at = view(from, into.size());
        if (at == nullptr)
            return false;
        std::memcpy(into.data(), at, into.size());
        return true;
    }
    bool write(Gpa, std::span<std::byte const>) override { return false; }
    std::byte const* view(Gpa at, std::size_t bytes) const override
    {
        ++looks;
        return at.value <= bytes_.size() && bytes <= bytes_.size() - at.value ? bytes_.data() + at.value : nullptr;
    }
    bool touches_sensor(Gpa, std::uint64_t) const override { return false; }
    std::vector<std::byte> bytes_;
    mutable unsigned looks = 0;
};

class FixedClock final : public core::Clock {
public:
    Tsc tsc() const override { return Tsc{++readings_}; }
    std::uint64_t tsc_hz() const override { return 1000000000; }
    UtcNs utc(Tsc at) const override { return UtcNs{1700000000000000000 + at.value}; }
    bool synchronised() const override { return in_step; }
    bool in_step = true;
    mutable std::uint64_t readings_ = 0;
};

class Sink final : public RecordSink {
public:
    struct Item {
        wire::Record record;
        std::vector<std::byte> content;
    };
    void begin_request() override
    {
        EXPECT_FALSE(open);
        open = true;
    }
    bool append(wire::Record const& record, std::byte const* content) override
    {
        EXPECT_TRUE(open);
        EXPECT_EQ(content != nullptr, record.content_bytes.get() != 0);
        items.push_back({record, {content, content + (content != nullptr ? record.content_bytes.get() : 0)}});
        return accept;
    }
    void end_request() override
    {
        EXPECT_TRUE(open);
        open = false;
    }
    bool open = false, accept = true;
    std::vector<Item> items;
};

class List final : public ExtentSource {
public:
    explicit List(std::vector<Extent> extents) : extents_{std::move(extents)} {}
    bool next(Extent& extent) override
    {
        if (at_ == extents_.size())
            return false;
        extent = extents_[at_++];
        return true;
    }

private:
    std::vector<Extent> extents_;
    std::size_t at_ = 0;
};

class ObserverTest : public testing::TestWithParam<core::CaptureMode> {
protected:
    void write(std::uint64_t lba, std::uint64_t bytes, std::vector<Extent> extents, std::uint16_t flags = 0)
    {
        List list{std::move(extents)};
        observer->observe({wire::Kind::storage_write, Lba{lba}, bytes, 0x0203, flags}, list);
    }
    bool content() const { return GetParam() == core::CaptureMode::content; }
    std::vector<std::byte> ram_at(std::uint64_t at, std::size_t bytes) const
    {
        return {ram.bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                ram.bytes_.begin() + static_cast<std::ptrdiff_t>(at + bytes)};
    }
    void expect_block(std::size_t i, std::uint64_t lba, std::vector<std::byte> const& bytes, unsigned flags)
    {
        ASSERT_LT(i, sink.items.size());
        auto const& [record, kept] = sink.items[i];
        EXPECT_EQ(record.address.get(), lba);
        EXPECT_EQ(record.length.get(), bytes.size());
        EXPECT_EQ(record.entropy.get(), entropy(bytes.data(), bytes.size()));
        EXPECT_EQ(record.content_bytes.get(), content() ? bytes.size() : 0);
        EXPECT_EQ(record.flags.get(), flags | flag::has_entropy | (content() ? flag::has_content : 0));
        if (content()) {
            EXPECT_EQ(kept, bytes);
        }
    }

    Ram ram;
    FixedClock clock;
    Sink sink;
    core::Counters counters;
    std::unique_ptr<Observer> observer = std::make_unique<Observer>(ram, clock, sink, counters, GetParam(), 42);
};

TEST_P(ObserverTest, WriteIsCutRelativeToItsStart)
{
    write(7, 9728, {{Gpa{0x1000}, 9728}}, flag::queued);
    ASSERT_EQ(sink.items.size(), 3U);
    expect_block(0, 7, ram_at(0x1000, 4096), flag::first_of_request | flag::queued);
    expect_block(1, 15, ram_at(0x2000, 4096), flag::queued);
    expect_block(2, 23, ram_at(0x3000, 1536), flag::last_of_request | flag::queued);
    for (auto const& item : sink.items) {
        EXPECT_EQ(item.record.time_utc_ns.get(), 1700000000000000001U) << "one time per command";
        EXPECT_EQ(item.record.source.get(), 0x0203U);
        EXPECT_EQ(item.record.kind.get(), 2U);
        EXPECT_EQ(item.record.page_class.get(), 0U);
    }
    EXPECT_EQ(ram.looks, 3U) << "each block is looked at once";
}

TEST_P(ObserverTest, BlocksGatherAcrossExtents)
{
    write(0, 8192, {{Gpa{0x5000}, 1000}, {Gpa{0x9002}, 3500}, {Gpa{0x100}, 2}, {Gpa{0x20000}, 9999}});
    std::vector<std::byte> all = ram_at(0x5000, 1000);
    for (auto const& [at, n] : {std::pair{0x9002, 3500}, {0x100, 2}, {0x20000, 3690}}) {
        auto const part = ram_at(static_cast<std::uint64_t>(at), static_cast<std::size_t>(n));
        all.insert(all.end(), part.begin(), part.end());
    }
    ASSERT_EQ(sink.items.size(), 2U);
    expect_block(0, 0, {all.begin(), all.begin() + 4096}, flag::first_of_request);
    expect_block(1, 8, {all.begin() + 4096, all.end()}, flag::last_of_request);
}

TEST_P(ObserverTest, OneSectorIsFirstAndLast)
{
    write(99, 512, {{Gpa{0x4000}, 512}});
    ASSERT_EQ(sink.items.size(), 1U);
    expect_block(0, 99, ram_at(0x4000, 512), flag::first_of_request | flag::last_of_request);
}

TEST_P(ObserverTest, UnreadableBlocksAreRecordedAsSuch)
{
    write(0, 4096 * 4,
          {{Gpa{0x1000}, 4096}, {Gpa{0xfff00}, 4096}, {Gpa{0x2000}, 4096}}); // second leaves RAM, fourth is missing
    ASSERT_EQ(sink.items.size(), 4U);
    expect_block(0, 0, ram_at(0x1000, 4096), flag::first_of_request);
    expect_block(2, 16, ram_at(0x2000, 4096), 0);
    for (std::size_t i : {1U, 3U}) {
        auto const& record = sink.items[i].record;
        EXPECT_EQ(record.flags.get(), flag::content_unreadable | (i == 3 ? flag::last_of_request : 0));
        EXPECT_EQ(record.length.get(), 4096U);
        EXPECT_EQ(record.content_bytes.get(), 0U);
    }
    EXPECT_EQ(counters.get(wire::CounterId::ahci_blocks_unreadable), 2U);
}

TEST_P(ObserverTest, PartlyMissingLastBlockIsUnreadable)
{
    write(0, 8192, {{Gpa{0x1000}, 5000}});
    ASSERT_EQ(sink.items.size(), 2U);
    EXPECT_EQ(sink.items[1].record.flags.get(), flag::content_unreadable | flag::last_of_request);
}

TEST_P(ObserverTest, ReadsFlushesAndTrimsAreOneRecord)
{
    List none{{}};
    clock.in_step = false;
    observer->observe({wire::Kind::storage_read, Lba{5}, 1U << 20, 1, flag::forced_unit_access}, none);
    observer->observe({wire::Kind::storage_flush, Lba{0}, 0, 1, 0}, none);
    observer->observe({wire::Kind::storage_trim, Lba{8}, 65535 * 512, 1, 0}, none);
    ASSERT_EQ(sink.items.size(), 3U);
    constexpr unsigned whole = flag::first_of_request | flag::last_of_request | flag::time_unsynchronised;
    EXPECT_EQ(sink.items[0].record.flags.get(), whole | flag::forced_unit_access);
    EXPECT_EQ(sink.items[0].record.length.get(), 1U << 20);
    EXPECT_EQ(sink.items[1].record.flags.get(), whole);
    EXPECT_EQ(sink.items[1].record.length.get(), 0U);
    EXPECT_EQ(sink.items[1].record.kind.get(), 3U);
    EXPECT_EQ(sink.items[2].record.length.get(), 65535U * 512);
    EXPECT_LT(sink.items[0].record.time_utc_ns.get(), sink.items[1].record.time_utc_ns.get());
}

TEST_P(ObserverTest, LongTrimsAreSplit)
{
    List none{{}};
    std::uint64_t const bytes = (9ULL << 30) + 512;
    observer->observe({wire::Kind::storage_trim, Lba{3}, bytes, 1, 0}, none);
    std::uint64_t next = 3;
    std::uint64_t total = 0;
    for (auto const& item : sink.items) {
        EXPECT_EQ(item.record.address.get(), next);
        EXPECT_EQ(item.record.length.get() % 512, 0U);
        next += item.record.length.get() / 512;
        total += item.record.length.get();
    }
    EXPECT_EQ(total, bytes);
    ASSERT_EQ(sink.items.size(), 3U);
    EXPECT_EQ(sink.items[0].record.flags.get(), flag::first_of_request);
    EXPECT_EQ(sink.items[1].record.flags.get(), 0U);
    EXPECT_EQ(sink.items[2].record.flags.get(), flag::last_of_request);
}

TEST_P(ObserverTest, RefusedRecordsDoNotStopTheCommand)
{
    sink.accept = false;
    write(0, 8192, {{Gpa{0x1000}, 8192}});
    EXPECT_EQ(sink.items.size(), 2U);
    EXPECT_FALSE(sink.open);
}

TEST_P(ObserverTest, DisksAreRememberedOnce)
{
    char model[40], serial[20];
    std::memset(model, 'm', sizeof(model));
    std::memset(serial, 's', sizeof(serial));
    observer->describe(0x100, 512, 1000, model, serial);
    observer->describe(0x101, 4096, 8000, model, serial);
    model[0] = 'M';
    observer->describe(0x100, 512, 2000, model, serial);
    std::array<wire::DiskInfo, wire::max_hello_disks> disks;
    ASSERT_EQ(observer->disks(disks), 2U);
    EXPECT_EQ(disks[0].source.get(), 0x100U);
    EXPECT_EQ(disks[0].capacity_512.get(), 2000U);
    EXPECT_EQ(disks[0].model[0], 'M');
    EXPECT_EQ(disks[0].serial[19], 's');
    EXPECT_EQ(disks[0].serial[20], 0);
    EXPECT_EQ(disks[1].logical_sector_bytes.get(), 4096U);
    for (std::uint16_t i = 0; i < 100; ++i)
        observer->describe(static_cast<std::uint16_t>(0x200 + i), 512, 1, model, serial);
    EXPECT_EQ(observer->disks(disks), 32U);
    EXPECT_EQ(observer->disks(std::span{disks}.first(1)), 1U);
}

TEST_P(ObserverTest, SwitchingCaptureIsARecordOfItsOwn)
{
    clock.in_step = false;
    observer->mark_capture(false);
    clock.in_step = true;
    observer->mark_capture(true);
    ASSERT_EQ(sink.items.size(), 2U);
    EXPECT_EQ(sink.items[0].record.kind.get(), 32);
    EXPECT_EQ(sink.items[0].record.flags.get(),
              flag::first_of_request | flag::last_of_request | flag::time_unsynchronised);
    EXPECT_EQ(sink.items[1].record.kind.get(), 33);
    EXPECT_EQ(sink.items[1].record.flags.get(), flag::first_of_request | flag::last_of_request);
    EXPECT_GT(sink.items[1].record.time_utc_ns.get(), sink.items[0].record.time_utc_ns.get());
    for (auto const& item : sink.items) {
        EXPECT_EQ(item.record.length.get() | item.record.address.get() | item.record.source.get(), 0U);
        EXPECT_TRUE(item.content.empty());
    }
    EXPECT_EQ(counters.get(wire::CounterId::capture_switched_off), 1U);
    EXPECT_EQ(counters.get(wire::CounterId::capture_switched_on), 1U);
}

INSTANTIATE_TEST_SUITE_P(Modes, ObserverTest, testing::Values(core::CaptureMode::header, core::CaptureMode::content));

} // namespace
} // namespace undercroft::observe
