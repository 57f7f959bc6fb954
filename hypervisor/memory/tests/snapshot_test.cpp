// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/tests/snapshot_rig.hpp"

namespace undercroft::memory {
namespace {

TEST_F(SnapshotTest, OneLiveSweepHasEachPageOnceAndZeroPagesWithoutContent)
{
    make(0);
    for (std::uint64_t n = 0; n < pages(); n += 3)
        machine_.guest_write(0, machine_.index.page(n).value, ++value_);
    start(0, 0);
    EXPECT_EQ(snapshot_->view_use({}), ViewUse::none) << "it takes no rights and reads no bits";
    run_until_cycles(1);
    auto const all = sweeps();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].number, 1U);
    EXPECT_FALSE(all[0].incremental);
    EXPECT_EQ(all[0].said, pages());
    EXPECT_EQ(differing_pages(all[0].pages, machine_.image()), 0U);
    EXPECT_EQ(machine_.flushes, 0U);
    EXPECT_EQ(machine_.holds, 0U);
    std::size_t with_content = 0;
    for (auto const& item : stream_.items)
        with_content += item.content.empty() ? 0 : 1;
    EXPECT_EQ(with_content, (pages() + 2) / 3);
    EXPECT_TRUE(snapshot_->finished());
    EXPECT_EQ(snapshot_->tick(clock_.tsc()), never) << "once is once";
}

TEST_F(SnapshotTest, LaterSweepsHaveWhatWasWrittenAndTogetherTheyAreTheMemory)
{
    for (bool const bits : {true, false}) {
        SCOPED_TRACE(bits);
        machine_.bits_offered = options_.access_bits = bits;
        stream_.items.clear();
        make(0);
        start(0, 2'000);
        std::uint64_t const first_number = sweeps().empty() ? 1 : sweeps()[0].number;
        for (int i = 0; i < 3000; ++i) {
            machine_.guest_write(random_() % 2, random_hot_page(), ++value_);
            let_pass(5'000);
        }
        run_until_cycles(done() + 2); // one that began after the last write
        Image rebuilt;
        std::size_t incremental_pages = 0, incremental = 0;
        for (Sweep const& sweep : sweeps()) {
            ASSERT_TRUE(sweep.ended);
            EXPECT_EQ(sweep.said, sweep.pages.size());
            EXPECT_EQ(sweep.incremental, sweep.number != first_number);
            lay_over(rebuilt, sweep.pages);
            incremental += sweep.incremental ? 1 : 0;
            incremental_pages += sweep.incremental ? sweep.pages.size() : 0;
        }
        EXPECT_EQ(differing_pages(rebuilt, machine_.image()), 0U);
        EXPECT_GE(incremental, 5U);
        EXPECT_LT(incremental_pages, incremental * pages() / 2) << "that is no saving";
        EXPECT_TRUE(sweeps().back().pages.empty()) << "nothing was written before the last sweep";
    }
}

TEST_F(SnapshotTest, FullSweepsOnWish)
{
    make(0);
    start(flag::full_sweeps, 1'000);
    run_until_cycles(3);
    for (Sweep const& sweep : sweeps()) {
        EXPECT_FALSE(sweep.incremental);
        if (sweep.ended)
            EXPECT_EQ(sweep.pages.size(), pages());
    }
}

TEST_F(SnapshotTest, KeepsToItsRate)
{
    make(0);
    for (std::uint64_t n = 0; n < pages(); ++n)
        machine_.guest_write(0, machine_.index.page(n).value, ++value_);
    std::uint64_t const begun = clock_.now;
    start(0, 0, 16384); // 16 MiB/s
    run_until_cycles(1);
    double const seconds = static_cast<double>(clock_.now - begun) / 1e9;
    double const mib = static_cast<double>(pages()) * 4128 / (1 << 20);
    EXPECT_NEAR(mib / seconds, 16.0, 0.8);
}

/// A single sweep with a budget of 2 %, while sending takes some time for each tick: the share of all the time that the
/// ticks took, and that sending took.
struct Shares {
    double ticks, sending;
};

TEST_F(SnapshotTest, KeepsToItsShareOfTime)
{
    options_.tick_us = 100;
    clock_.tick_per_reading = 5'000; // each look at the clock is 5 us of work
    auto const sweep = [&](std::uint16_t flags, std::uint64_t sending_ns) {
        make(64);
        wire::MemoryRequest request{};
        request.flags = flags;
        request.rate_kib_per_s = std::uint32_t{1U << 30};
        request.budget_permille = std::uint16_t{20};
        EXPECT_EQ(snapshot_->judge(request), wire::ControlResult::done);
        snapshot_->start(request, clock_.tsc());
        std::uint64_t in_ticks = 0, begun = clock_.now, sent = stream_.sending;
        Tsc next = clock_.tsc();
        for (int i = 0; i < 400000 && done() == 0; ++i) {
            clock_.now += 20'000;
            if (clock_.now < next.value)
                continue;
            std::uint64_t const before = clock_.now;
            next = snapshot_->tick(Tsc{clock_.now});
            in_ticks += clock_.now - before;
            stream_.sending += sending_ns;
            clock_.now += sending_ns;
        }
        EXPECT_EQ(done(), 1U);
        auto const all = static_cast<double>(clock_.now - begun);
        return Shares{static_cast<double>(in_ticks) / all, static_cast<double>(stream_.sending - sent) / all};
    };
    Shares const free = sweep(0, 0);
    EXPECT_LT(free.ticks, 0.025);
    EXPECT_GT(free.ticks, 0.01);
    Shares const live = sweep(0, 50'000);
    EXPECT_LT(live.ticks + live.sending, 0.025) << "what it sends is its time, too";
    EXPECT_GT(live.ticks + live.sending, 0.01);
    Shares const consistent = sweep(flag::consistent, 50'000);
    EXPECT_GT(consistent.ticks, 0.01) << "over soon: pages are copied before writes as long as it lasts";
}

TEST_F(SnapshotTest, ARangeIsSweptAndNothingElse)
{
    make(4);
    wire::MemoryRequest request{};
    request.flags = flag::consistent;
    request.range_begin = std::uint64_t{0x100000};
    request.range_bytes = std::uint64_t{0x110000};
    ASSERT_EQ(snapshot_->judge(request), wire::ControlResult::done);
    EXPECT_EQ(request.rate_kib_per_s.get(), options_.default_rate_kib_per_s);
    EXPECT_EQ(request.budget_permille.get(), options_.cost_permille);
    wire::MemoryRequest fast{};
    fast.rate_kib_per_s = std::uint32_t{77};
    ASSERT_EQ(snapshot_->judge(fast), wire::ControlResult::done);
    EXPECT_EQ(fast.rate_kib_per_s.get(), 77U);
    EXPECT_EQ(fast.budget_permille.get(), options_.cost_permille_with_rate);
    snapshot_->start(request, clock_.tsc());
    run_until_cycles(1);
    ASSERT_EQ(sweeps().size(), 1U);
    EXPECT_EQ(sweeps()[0].pages.size(), 16U);
    EXPECT_EQ(sweeps()[0].pages.begin()->first, 0x200000U);
    EXPECT_EQ(sweeps()[0].pages.rbegin()->first, 0x20f000U);
}

TEST_F(SnapshotTest, ARangeWithoutRamEndsAtOnce)
{
    make(0);
    wire::MemoryRequest request{};
    request.range_begin = std::uint64_t{0x40000000};
    request.range_bytes = std::uint64_t{0x1000};
    ASSERT_EQ(snapshot_->judge(request), wire::ControlResult::done);
    snapshot_->start(request, clock_.tsc());
    run_until_cycles(1);
    ASSERT_EQ(sweeps().size(), 1U);
    EXPECT_EQ(sweeps()[0].said, 0U);
}

TEST_F(SnapshotTest, RefusesWhatMakesNoSense)
{
    make(0);
    wire::MemoryRequest request{};
    request.range_begin = std::uint64_t{0x123};
    EXPECT_EQ(snapshot_->judge(request), wire::ControlResult::bad_request);
    request = {};
    request.range_begin = std::uint64_t{~0xfffULL};
    request.range_bytes = std::uint64_t{0x2000};
    EXPECT_EQ(snapshot_->judge(request), wire::ControlResult::bad_request);
    request = {};
    request.flags = flag::huge_pages;
    EXPECT_EQ(snapshot_->judge(request), wire::ControlResult::bad_request);
    request = {};
    request.budget_permille = std::uint16_t{1001};
    EXPECT_EQ(snapshot_->judge(request), wire::ControlResult::bad_request);
}

} // namespace
} // namespace undercroft::memory
