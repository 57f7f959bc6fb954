// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/access_engine.hpp"

#include <gtest/gtest.h>

#include "hypervisor/memory/tests/engine_rig.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace undercroft::memory {
namespace {

using namespace testing;
using wire::ControlResult;
using wire::Kind;
using wire::MemoryAction;
using wire::MemoryMode;
using wire::MemoryRequest;

template <typename Format>
class Access : public ::testing::Test {
public:
    Access() { rig.monitor.add(MemoryMode::access, engine); }
    ControlResult start(auto&& set) { return rig.request(MemoryMode::access, MemoryAction::start, set); }
    ControlResult start_with(std::uint16_t flags)
    {
        return start([&](MemoryRequest& request) { request.flags = flags; });
    }
    [[nodiscard]] std::vector<Kind> kinds() const
    {
        std::vector<Kind> result;
        for (Remembered const& one : rig.stream.accesses())
            result.push_back(one.kind());
        return result;
    }
    EngineRig<Format> rig;
    AccessEngine engine{rig.parts(), rig.monitor};
};
using Formats = ::testing::Types<paging::NptFormat, paging::EptFormat>;
TYPED_TEST_SUITE(Access, Formats);

constexpr std::uint64_t page = 4 * mib + 0x3000;

TYPED_TEST(Access, FirstAccessOfEachKindIsOneRecord)
{
    ASSERT_EQ(this->rig.start(MemoryMode::access), ControlResult::done);
    this->rig.read(page + 8);
    this->rig.read(page + 16);
    this->rig.write(page + 24);
    this->rig.write(page + 32);
    this->rig.write(page + 0x1008);
    this->rig.read(page + 0x1010);
    this->rig.execute(page + 0x2010);
    this->rig.execute(page + 0x2020);
    EXPECT_EQ(this->kinds(),
              (std::vector{Kind::memory_read, Kind::memory_read_write, Kind::memory_write, Kind::memory_execute}));
    auto const records = this->rig.stream.accesses();
    EXPECT_EQ(records[0].record.address.get(), page + 8);
    EXPECT_EQ(records[0].record.length.get(), 4096U);
    EXPECT_EQ(records[0].record.page_class.get(), 1U);
    EXPECT_TRUE(records[0].content.empty());
}

TYPED_TEST(Access, AnExecutedPageThatIsWrittenWasReadOnlyIfThatCouldBeSeen)
{
    ASSERT_EQ(this->rig.start(MemoryMode::access), ControlResult::done);
    this->rig.read(page);
    this->rig.execute(page);
    this->rig.write(page);
    this->rig.execute(page + 4096);
    this->rig.write(page + 4096);
    bool const seen = this->rig.rig.view.has_execute_only();
    EXPECT_EQ(this->kinds(),
              (std::vector{Kind::memory_read, Kind::memory_execute, seen ? Kind::memory_read_write : Kind::memory_write,
                           Kind::memory_execute, Kind::memory_write}));
}

TYPED_TEST(Access, RearmingByTimeShowsPagesAgain)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.period_us = 2000U; }), ControlResult::done);
    unsigned const flushes = this->rig.shootdown.flushes;
    this->rig.read(page);
    this->rig.pass_ms(1);
    this->rig.read(page);
    this->rig.pass_ms(1);
    EXPECT_EQ(this->rig.shootdown.flushes, flushes + 1);
    this->rig.read(page);
    this->rig.pass_ms(20); // ten periods late: one re-arming
    EXPECT_EQ(this->rig.shootdown.flushes, flushes + 2);
    this->rig.read(page);
    EXPECT_EQ(this->kinds().size(), 3U);
    EXPECT_EQ(this->rig.status(MemoryMode::access).cycles.get(), 3U);
    EXPECT_EQ(this->rig.status(MemoryMode::access).faults.get(), 3U);
}

TYPED_TEST(Access, RearmingByTurns)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.every_turns = 3U; }), ControlResult::done);
    for (int turn = 0; turn < 9; ++turn) {
        this->rig.read(page);
        this->rig.monitor.after_exit(0, this->rig.clock.now);
    }
    EXPECT_EQ(this->kinds().size(), 3U);
}

TYPED_TEST(Access, AnInstructionKeepsItsPagesUntilItIsThrough)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.every_turns = 1U; }), ControlResult::done);
    // One instruction of CPU 1 that needs forty pages at once.
    auto const try_all = [&] {
        for (std::uint64_t i = 0; i < 40; ++i)
            if (!this->rig.attempt(page + i * 4096, paging::rights_read, 1))
                return false;
        return true;
    };
    unsigned tries = 0;
    while (!try_all()) {
        this->rig.monitor.after_exit(1, this->rig.clock.now);
        ASSERT_LT(++tries, 100U) << "the guest does not get on";
    }
    EXPECT_EQ(tries, 40U);
    ++this->rig.positions[1];
    this->rig.exit(1);
    this->rig.monitor.after_exit(1, this->rig.clock.now);
    EXPECT_FALSE(try_all()) << "armed again as soon as it was through";
}

TYPED_TEST(Access, ACpuThatStandsStillIsNotWaitedForLong)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.period_us = 2000U; }), ControlResult::done);
    (void)this->rig.attempt(page, paging::rights_read, 1);
    this->rig.monitor.note_exit(1, this->rig.positions[1]);
    this->rig.pass_ms(2);
    EXPECT_TRUE(this->rig.attempt(page, paging::rights_read, 1));
    for (int i = 0; i < 12; ++i)
        this->rig.pass_ms(1);
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read, 1));
}

TYPED_TEST(Access, OnlyTouchedPagesAreRearmedAndNothingIsMissed)
{
    ASSERT_EQ(this->start_with(wire::memory_flag::only_touched), ControlResult::done);
    for (int cycle = 0; cycle < 3; ++cycle) {
        this->rig.read(page);
        this->rig.write(page + 0x5000);
        this->rig.read(page + 10 * mib + static_cast<std::uint64_t>(cycle) * 4096); // untouched until now
        this->rig.pass_ms(300);
    }
    EXPECT_EQ(this->kinds().size(), 9U);
}

TYPED_TEST(Access, MoreTouchedPagesThanTheListHoldsAreRearmedAsAWhole)
{
    ASSERT_EQ(this->start_with(wire::memory_flag::only_touched), ControlResult::done);
    std::uint64_t const pages = 22 * mib / 4096;
    for (int cycle = 0; cycle < 2; ++cycle) {
        for (std::uint64_t i = 0; i < pages; ++i)
            this->rig.read(2 * mib + i * 4096);
        this->rig.pass_ms(300);
    }
    EXPECT_EQ(this->kinds().size(), 2 * pages);
}

TYPED_TEST(Access, HugePagesAreOneRecordForTwoMib)
{
    ASSERT_EQ(this->start_with(wire::memory_flag::huge_pages), ControlResult::done);
    this->rig.read(page);
    this->rig.read(page + 0x40000);
    this->rig.write(page + 0x80000);
    EXPECT_EQ(this->kinds(), (std::vector{Kind::memory_read, Kind::memory_read_write}));
    EXPECT_EQ(this->rig.stream.accesses()[0].record.length.get(), 2 * mib);
    EXPECT_EQ(this->rig.stream.accesses()[0].record.page_class.get(), 2U);
}

TYPED_TEST(Access, KeptEntriesAreNotArmedAgainAndKeptTlbsNotFlushed)
{
    ASSERT_EQ(this->start_with(wire::memory_flag::keep_entries), ControlResult::done);
    this->rig.read(page);
    unsigned flushes = this->rig.shootdown.flushes;
    this->rig.pass_ms(300);
    EXPECT_EQ(this->rig.shootdown.flushes, flushes + 1);
    this->rig.read(page);
    EXPECT_EQ(this->kinds().size(), 1U);
    ASSERT_EQ(this->start_with(wire::memory_flag::keep_tlb), ControlResult::done);
    flushes = this->rig.shootdown.flushes;
    this->rig.pass_ms(300);
    EXPECT_EQ(this->rig.shootdown.flushes, flushes);
    this->rig.read(page);
    EXPECT_EQ(this->kinds().size(), 2U);
}

TYPED_TEST(Access, ARangeIsWatchedAndNothingElse)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) {
        request.range_begin = page;
        request.range_bytes = std::uint64_t{8192};
    }),
              ControlResult::done);
    this->rig.read(page - 4096);
    this->rig.read(page);
    this->rig.read(page + 4096);
    this->rig.read(page + 8192);
    EXPECT_EQ(this->kinds().size(), 2U);
    auto const armed = std::find_if(this->rig.stream.records.begin(), this->rig.stream.records.end(),
                                    [](Remembered const& one) { return one.kind() == Kind::memory_armed; });
    ASSERT_NE(armed, this->rig.stream.records.end());
    EXPECT_EQ(armed->record.address.get(), page);
    EXPECT_EQ(armed->record.length.get(), 8192U);
    EXPECT_EQ(armed->record.source.get(), 1U);
}

TYPED_TEST(Access, AWalkOfGuestPageTablesIsNoProofOfAWrite)
{
    ASSERT_EQ(this->rig.start(MemoryMode::access), ControlResult::done);
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read_write, 0, true));
    EXPECT_TRUE(this->rig.attempt(page, paging::rights_read_write, 0, true));
    ASSERT_EQ(this->kinds(), (std::vector{Kind::memory_read}));
    EXPECT_EQ(this->rig.stream.accesses()[0].record.flags.get(), wire::record_flag::page_walk);
}

TYPED_TEST(Access, ModeAndRegionsAreSaidBeforeAndTheEndAfter)
{
    ASSERT_EQ(this->rig.start(MemoryMode::access), ControlResult::done);
    EXPECT_EQ(this->rig.view_switch.uses, (std::vector{ViewUse::faults}));
    auto const& records = this->rig.stream.records;
    ASSERT_EQ(records.size(), 5U);
    EXPECT_EQ(records[0].kind(), Kind::memory_mode);
    MemoryRequest said{};
    ASSERT_EQ(records[0].content.size(), sizeof(said));
    std::memcpy(static_cast<void*>(&said), records[0].content.data(), sizeof(said));
    EXPECT_EQ(said.period_us.get(), 300'000U);
    EXPECT_EQ(said.range_bytes.get(), gib + 6 * mib + 65536);
    for (int i = 1; i < 4; ++i)
        EXPECT_EQ(records[static_cast<std::size_t>(i)].kind(), Kind::memory_region);
    EXPECT_EQ(records[4].kind(), Kind::memory_armed);
    this->rig.read(page);
    ASSERT_EQ(this->rig.request(MemoryMode::none, MemoryAction::stop, [](auto&) {}), ControlResult::done);
    EXPECT_EQ(this->rig.view_switch.uses.back(), ViewUse::none);
    EXPECT_EQ(records[records.size() - 2].kind(), Kind::memory_disarmed);
    EXPECT_EQ(records.back().kind(), Kind::memory_mode);
    this->rig.read(page + 0x9000);
    this->rig.write(page + 0x9000);
    EXPECT_EQ(this->kinds().size(), 1U);
    EXPECT_EQ(this->rig.status(MemoryMode::access).request.action.get(), 2U);
}

TYPED_TEST(Access, AChangeForDevicesIsFollowedByANewArming)
{
    ASSERT_EQ(this->rig.start(MemoryMode::access), ControlResult::done);
    this->rig.read(0x5000);
    // Beside RAM in the same 2 MiB: its table is opened for the change.
    ASSERT_TRUE(this->rig.rig.map.set_rights(Gpa{0xB0000}, 4096, paging::rights_none, paging::rights_none));
    this->rig.read(0x6000);
    EXPECT_EQ(this->kinds().size(), 1U) << "not seen";
    this->rig.clock.now.value += 1'000'000;
    this->rig.monitor.tick(this->rig.clock.now);
    auto const& records = this->rig.stream.records;
    EXPECT_EQ(records[records.size() - 2].kind(), Kind::memory_disarmed) << "said, so that nobody believes it";
    EXPECT_EQ(records.back().kind(), Kind::memory_armed);
    this->rig.read(0x6000);
    EXPECT_EQ(this->kinds().size(), 2U);
}

TYPED_TEST(Access, FullStreamCountsWhatIsDroppedAndTheGuestGoesOn)
{
    ASSERT_EQ(this->rig.start(MemoryMode::access), ControlResult::done);
    this->rig.stream.full = true;
    this->rig.read(page);
    EXPECT_EQ(this->rig.status(MemoryMode::access).dropped.get(), 1U);
    EXPECT_EQ(this->rig.status(MemoryMode::access).records.get(), 1U);
}

TYPED_TEST(Access, HostileRequestsAreRefusedWhole)
{
    auto const refused = [&](auto&& set) { EXPECT_EQ(this->start(set), ControlResult::bad_request); };
    refused([](MemoryRequest& r) { r.flags = wire::memory_flag::consistent; });
    refused([](MemoryRequest& r) { r.flags = std::uint16_t{0x8000}; });
    refused([](MemoryRequest& r) { r.period_us = 99U; });
    refused([](MemoryRequest& r) { r.thin = 1U; });
    refused([](MemoryRequest& r) { r.reserved = 1U; });
    refused([](MemoryRequest& r) { r.mode = std::uint16_t{5}; });
    refused([](MemoryRequest& r) { r.action = std::uint16_t{3}; });
    refused([](MemoryRequest& r) { r.mode = std::uint16_t{0}; });
    refused([](MemoryRequest& r) { r.range_begin = std::uint64_t{4096}; });
    refused([](MemoryRequest& r) { r.range_bytes = std::uint64_t{100}; });
    refused([](MemoryRequest& r) { r.range_begin = ~std::uint64_t{4095}, r.range_bytes = std::uint64_t{8192}; });
    refused([](MemoryRequest& r) { r.range_begin = 512 * mib, r.range_bytes = std::uint64_t{4096}; });
    refused([](MemoryRequest& r) { r.period_us = 1000U, r.every_turns = 1U; });
    EXPECT_TRUE(this->rig.view_switch.uses.empty());
    EXPECT_EQ(this->rig.request(MemoryMode::watch, MemoryAction::start, [](auto&) {}), ControlResult::not_possible);
    EXPECT_EQ(this->rig.request(MemoryMode::none, MemoryAction::status, [](auto&) {}), ControlResult::done);
    EXPECT_EQ(this->rig.request(MemoryMode::access, MemoryAction::stop, [](auto&) {}), ControlResult::done);
}

} // namespace
} // namespace undercroft::memory
