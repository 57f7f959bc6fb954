// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Sweeps of one instant: what goes in, what waits, what breaks them.
#include "hypervisor/memory/tests/snapshot_rig.hpp"

namespace undercroft::memory {
namespace {

TEST_F(SnapshotTest, AConsistentSweepIsTheMemoryOfOneInstant)
{
    for (unsigned const seed : {1U, 2U, 3U, 4U}) {
        random_.seed(seed);
        options_.pages_per_tick = 1 + seed;
        stream_.items.clear();
        make(20);
        for (int i = 0; i < 500; ++i)
            machine_.guest_write(random_() % 2, random_page(), ++value_);
        start(flag::consistent, 0);
        std::uint64_t const before = machine_.faults;
        while (done() == 0) {
            for (unsigned i = random_() % 8; i != 0; --i)
                machine_.guest_write(random_() % 2, random_hot_page(), ++value_);
            let_pass(10'000);
        }
        auto const all = sweeps();
        ASSERT_EQ(all.size(), 1U);
        EXPECT_TRUE(all[0].consistent && all[0].ended_consistent);
        EXPECT_EQ(differing_pages(all[0].pages, machine_.at_hold), 0U);
        EXPECT_NE(differing_pages(machine_.image(), machine_.at_hold), 0U) << "the test wrote nothing";
        EXPECT_GT(machine_.faults, before);
        std::uint64_t const after = machine_.faults;
        for (std::uint64_t n = 0; n < pages(); ++n)
            machine_.guest_write(0, machine_.index.page(n).value, ++value_);
        EXPECT_EQ(machine_.faults, after) << "pages without rights after the sweep's end";
    }
}

TEST_F(SnapshotTest, ConsistentIncrementsOnABaseAreTheMemoryOfTheirInstants)
{
    for (bool const bits : {true, false}) {
        SCOPED_TRACE(bits);
        machine_.bits_offered = options_.access_bits = bits;
        stream_.items.clear();
        make(8);
        options_.pages_per_tick = 7;
        start(flag::consistent, 3'000);
        Image rebuilt;
        std::uint64_t compared = 0;
        std::size_t read_sweeps = 0;
        Image instant;
        unsigned holds = machine_.holds;
        for (int i = 0; i < 60000 && compared < 6; ++i) {
            machine_.guest_write(random_() % 2, random_hot_page(), ++value_);
            let_pass(3'000);
            if (machine_.holds != holds) {
                holds = machine_.holds;
                instant = machine_.at_hold;
            }
            if (done() == read_sweeps)
                continue;
            Sweep const last = sweeps().back();
            ASSERT_TRUE(last.ended && last.ended_consistent);
            EXPECT_EQ(last.incremental, read_sweeps != 0);
            lay_over(rebuilt, last.pages);
            EXPECT_EQ(differing_pages(rebuilt, instant), 0U) << "sweep " << last.number;
            read_sweeps = done();
            ++compared;
        }
        EXPECT_EQ(compared, 6U);
    }
}

TEST_F(SnapshotTest, WithoutRoomItWaitsAndWithoutAReserveTheCpuWaits)
{
    for (std::size_t const reserve : {std::size_t{0}, std::size_t{10}}) {
        stream_.items.clear();
        stream_.free = 1ULL << 60;
        make(reserve);
        for (std::uint64_t n = 0; n < pages(); ++n)
            machine_.guest_write(0, machine_.index.page(n).value, ++value_);
        stream_.free = 12 * 4128;
        start(flag::consistent, 0);
        for (int i = 0; i < 10; ++i)
            let_pass(10'000);
        EXPECT_LT(stream_.free, 4128U);
        std::size_t const items = stream_.items.size();
        for (int i = 0; i < 100; ++i)
            let_pass(10'000);
        EXPECT_EQ(stream_.items.size(), items) << "nobody made room";
        EXPECT_EQ(held(), 0U);
        for (std::uint64_t n = 400; n < 412; ++n)
            machine_.guest_write(1, machine_.index.page(n).value, ++value_);
        EXPECT_EQ(held(), 12 - reserve);
        EXPECT_GE(room_made_, held());
        while (done() == 0) {
            stream_.free += 6000;
            let_pass(10'000);
        }
        EXPECT_EQ(differing_pages(sweeps()[0].pages, machine_.at_hold), 0U);
        EXPECT_TRUE(sweeps()[0].ended_consistent);
        room_made_ = 0;
    }
}

TEST_F(SnapshotTest, ADeadCollectorCostsTheConsistencyNotTheGuest)
{
    make(2);
    collector_alive_ = false;
    for (std::uint64_t n = 0; n < pages(); ++n)
        machine_.guest_write(0, machine_.index.page(n).value, ++value_);
    stream_.free = 6000;
    start(flag::consistent, 0);
    for (int i = 0; i < 20; ++i)
        let_pass(10'000);
    for (std::uint64_t n = 800; n < 810; ++n)
        machine_.guest_write(1, machine_.index.page(n).value, ++value_);
    EXPECT_EQ(held(), 1U) << "once is enough";
    EXPECT_EQ(snapshot_->broken(), 1U);
    stream_.free = 1ULL << 60; // it is back
    run_until_cycles(1);
    ASSERT_EQ(sweeps().size(), 1U);
    EXPECT_TRUE(sweeps()[0].consistent);
    EXPECT_FALSE(sweeps()[0].ended_consistent) << "it says that it is not";
    EXPECT_EQ(sweeps()[0].pages.size(), pages());
}

TEST_F(SnapshotTest, ACpuThatDoesNotAnswerCostsTheConsistency)
{
    make(2);
    machine_.cpus_answer = false;
    start(flag::consistent, 0);
    run_until_cycles(1);
    ASSERT_EQ(sweeps().size(), 1U);
    EXPECT_FALSE(sweeps()[0].consistent || sweeps()[0].ended_consistent);
    EXPECT_EQ(sweeps()[0].pages.size(), pages());
    EXPECT_EQ(snapshot_->broken(), 1U);
    machine_.guest_write(0, 0x1000, 1); // nobody is held any more
    EXPECT_EQ(machine_.faults, 0U);
}

TEST_F(SnapshotTest, DiskReadsAreSeenLikeWrites)
{
    make(50);
    machine_.standing = {{Gpa{0x2000}, page_bytes}};
    start(flag::consistent, 4'000);
    struct Command {
        WriteTicket ticket;
        std::uint64_t page;
        std::uint64_t ends;
    };
    std::vector<Command> under_way;
    Image rebuilt;
    std::uint64_t read_sweeps = 0;
    for (int i = 0; i < 60000 && read_sweeps < 6; ++i) {
        let_pass(3'000);
        if (random_() % 4 == 0) {
            std::uint64_t const page = random_page();
            WriteTicket const ticket = log_.command_begins();
            log_.device_will_write(ticket, Gpa{page + 512}, 1024);
            under_way.push_back({ticket, page, clock_.now + random_() % 400'000});
        }
        machine_.set(0x2000, ++value_); // a received FIS
        if (!under_way.empty())
            machine_.set(under_way[random_() % under_way.size()].page, ++value_);
        for (std::size_t n = 0; n < under_way.size();) {
            if (under_way[n].ends > clock_.now) {
                ++n;
                continue;
            }
            machine_.set(under_way[n].page, ++value_);
            log_.command_ended(under_way[n].ticket);
            under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(n));
        }
        if (done() == read_sweeps)
            continue;
        read_sweeps = done();
        ASSERT_TRUE(sweeps().back().ended);
        lay_over(rebuilt, sweeps().back().pages);
        EXPECT_EQ(differing_pages(rebuilt, machine_.at_hold), 0U) << "sweep " << read_sweeps;
        EXPECT_TRUE(sweeps().back().pages.contains(0x2000));
        EXPECT_TRUE(read_sweeps == 1 || sweeps().back().pages.size() < pages() / 2);
    }
    EXPECT_EQ(read_sweeps, 6U);
    EXPECT_EQ(held(), 0U);
}

TEST_F(SnapshotTest, AStopInTheMiddleLeavesNoEndAndANewStartBeginsWithEverything)
{
    make(4);
    start(flag::consistent, 1'000);
    for (int i = 0; i < 6; ++i)
        let_pass(10'000);
    snapshot_->stop(clock_.tsc());
    machine_.restore({Gpa{0}, ~0ULL}); // as the monitor does
    EXPECT_EQ(snapshot_->tick(clock_.tsc()), never);
    std::size_t const before = stream_.items.size();
    ASSERT_FALSE(sweeps().empty());
    EXPECT_FALSE(sweeps().back().ended);
    start(0, 0);
    run_until_cycles(1);
    auto const all = sweeps();
    EXPECT_EQ(all.back().number, all.front().number + 1);
    EXPECT_FALSE(all.back().incremental);
    EXPECT_EQ(stream_.items.size() - before, pages() + 2);
}

} // namespace
} // namespace undercroft::memory
