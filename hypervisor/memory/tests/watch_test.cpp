// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/watch.hpp"

#include <atomic>
#include <cmath>
#include <functional>
#include <random>

#include "hypervisor/memory/tests/watch_model.hpp"

namespace undercroft::memory {
namespace {

constexpr std::uint64_t mib = 1ULL << 20;
constexpr std::uint64_t pages_of_mib = mib / page_bytes;
constexpr std::uint64_t memory_mib = 160;

class WatchTest : public testing::Test {
protected:
    WatchTest() : machine_{clock_, {{Gpa{0x1000}, 640 * 1024}, {Gpa{mib}, (memory_mib - 1) * mib}}}
    {
        clock_.tick_per_reading = 5;
        options_.refill_ticks = static_cast<std::uint32_t>(machine_.prices.refill);
        options_.flush_ticks = 1000;
        options_.fault_ticks = static_cast<std::uint32_t>(machine_.prices.fault);
    }
    void start(std::uint16_t permille)
    {
        watch_ =
            std::make_unique<Watch>(EngineParts{&machine_, &machine_, &machine_, &clock_, &cheapest_exit_}, options_);
        machine_.use(*watch_);
        wire::MemoryRequest request{};
        request.budget_permille = permille;
        ASSERT_EQ(watch_->judge(request), wire::ControlResult::done);
        watch_->start(request, clock_.tsc());
        next_ = clock_.tsc();
    }
    /// The guest's time goes on in steps of 1 ms; the sensor's comes on top.
    void run(double seconds, std::function<void()> const& work)
    {
        std::uint64_t const steps = static_cast<std::uint64_t>(seconds * 1000);
        for (std::uint64_t i = 0; i < steps; ++i) {
            work();
            clock_.now += 1'000'000;
            guest_ns_ += 1'000'000;
            if (clock_.now < next_.value)
                continue;
            std::uint64_t const before = clock_.now;
            std::uint64_t const scans = cycles();
            next_ = watch_->tick(Tsc{clock_.now});
            sensor_ns_ += clock_.now - before;
            ++exits_;
            if (cycles() != scans)
                periods_.push_back(static_cast<double>(watch_->last_period_ticks()));
        }
    }
    std::uint64_t cycles() const
    {
        wire::MemoryStatus status{};
        watch_->status(status);
        return status.cycles.get();
    }
    void touch_range(std::uint64_t first, std::uint64_t count, bool write)
    {
        for (std::uint64_t n = first; n < first + count; ++n)
            machine_.touch(n, write);
    }
    /// What watching cost of all time: the sensor's own, and what the guest paid for its flushes.
    double true_share(std::uint64_t refills_without) const
    {
        double const refills = static_cast<double>(machine_.refills - refills_without);
        double const cost = static_cast<double>(sensor_ns_) + refills * static_cast<double>(machine_.prices.refill) +
                            static_cast<double>(machine_.faults * machine_.prices.fault);
        return cost / static_cast<double>(guest_ns_);
    }
    void measure_from_here()
    {
        sensor_ns_ = guest_ns_ = exits_ = 0;
        machine_.refills = machine_.faults = 0;
        machine_.small_pages_seen = machine_.pieces_seen = 0;
        periods_.clear();
    }

    model::ModelClock clock_;
    model::WatchModel machine_;
    WatchOptions options_;
    std::unique_ptr<Watch> watch_;
    Tsc next_{};
    std::uint64_t sensor_ns_ = 0, guest_ns_ = 0, exits_ = 0;
    std::atomic<std::uint64_t> cheapest_exit_{~0ULL};
    std::vector<double> periods_;
    std::mt19937 random_{1};
};

TEST_F(WatchTest, FindsWhereMemoryIsUsedAndLooksThereInSmallPages)
{
    start(50);
    std::uint64_t const hot = 100 * pages_of_mib, hot_pages = 8 * pages_of_mib;
    auto const work = [&] {
        touch_range(hot, hot_pages / 2, false);
        touch_range(hot + hot_pages / 2, hot_pages / 2, true);
    };
    run(2, work);
    for (std::uint64_t n = hot; n < hot + hot_pages; ++n)
        ASSERT_TRUE(machine_.is_small(n)) << "page " << n - hot << " of the hot ones";
    EXPECT_EQ(watch_->regions().fine_granules(), 4U) << "and nowhere else";
    machine_.keep = true;
    run(0.5, work);
    std::vector<std::pair<unsigned, unsigned>> seen(machine_.pages()); // as read, as written
    for (auto const& item : machine_.records) {
        auto const kind = static_cast<wire::Kind>(item.record.kind.get());
        if ((kind != wire::Kind::memory_read && kind != wire::Kind::memory_write) ||
            item.record.flags.get() != wire::record_flag::by_scan)
            continue;
        std::uint64_t const first = item.record.address.get() / page_bytes;
        for (std::uint64_t n = first; n < first + item.record.length.get() / page_bytes; ++n)
            ++(kind == wire::Kind::memory_read ? seen[n].first : seen[n].second);
    }
    for (std::uint64_t n = 0; n < machine_.pages(); ++n) {
        bool const read = n >= hot && n < hot + hot_pages / 2;
        bool const written = n >= hot + hot_pages / 2 && n < hot + hot_pages;
        ASSERT_EQ(seen[n].first != 0, read) << n;
        ASSERT_EQ(seen[n].second != 0, written) << n;
    }
}

TEST_F(WatchTest, EveryAccessIsSeenOrItsPlaceWasNotLookedAt)
{
    options_.slice_us = 10; // scans take many ticks, with accesses in between
    start(100);
    auto const work = [&] {
        touch_range(80 * pages_of_mib, 1000, random_() % 3 == 0);
        for (int i = 0; i < 40; ++i)
            machine_.touch(256 + random_() % ((memory_mib - 1) * pages_of_mib),
                           random_() % 2 == 0); // WatchModel::note judges
    };
    run(3, work);
    run(20, [] {}); // each region is looked at again, however seldom that is
    std::uint64_t missed = 0, touched = 0;
    for (std::uint64_t n = 256; n < machine_.pages(); ++n) {
        touched += machine_.touched_in_scan(n) != 0 ? 1 : 0;
        // A change of entry size forgets bits, which the model does as the processor's tables do.
        missed += machine_.touched_in_scan(n) > machine_.reported_in_scan(n) ? 1 : 0;
    }
    EXPECT_GT(touched, 30'000U);
    EXPECT_EQ(missed, 0U);
}

TEST_F(WatchTest, KeepsToItsBudgetAndUsesIt)
{
    struct Work {
        char const* name;
        double most; ///< pages accessed in a second: no more can be seen
        std::function<void()> step;
    };
    std::uint64_t position = 0;
    Work const works[] = {
        {"stream", 512'000,
         [&] {
             ++position;
             touch_range(16 * pages_of_mib + position % 60 * 512, 512, position % 3 == 0);
         }},
        {"all of it at once", 1e9, [&] { touch_range(64 * pages_of_mib, 6 * pages_of_mib, true); }},
        {"anywhere", 200'000,
         [&] {
             for (int i = 0; i < 200; ++i)
                 machine_.touch(256 + random_() % ((memory_mib - 1) * pages_of_mib), random_() % 2 == 0);
         }},
    };
    double seen_at_1 = 0;
    for (Work const& work : works)
        for (std::uint16_t const permille : {std::uint16_t{10}, std::uint16_t{50}}) {
            SCOPED_TRACE(std::string{work.name} + " " + std::to_string(permille));
            start(permille);
            run(2, work.step);
            measure_from_here();
            run(1.5, work.step);
            double const share = true_share(0) * 1000;
            double const seen = static_cast<double>(machine_.small_pages_seen) / static_cast<double>(guest_ns_) * 1e9;
            EXPECT_LE(share, permille * 1.15);
            EXPECT_GE(share, permille * 0.4);
            if (permille == 10)
                seen_at_1 = seen;
            else
                EXPECT_GT(seen, std::min(seen_at_1 * 2, work.most * 0.9)) << "more budget, more seen";
            // No swinging: the waits of the last seconds are about the same.
            double mean = 0, square = 0;
            for (double const period : periods_)
                mean += period / static_cast<double>(periods_.size());
            for (double const period : periods_)
                square += (period - mean) * (period - mean) / static_cast<double>(periods_.size());
            EXPECT_LT(std::sqrt(square), mean * 0.5);
            RecordProperty((std::string{"pages per second, "} + work.name + ", " + std::to_string(permille)).c_str(),
                           std::to_string(static_cast<std::uint64_t>(seen)));
        }
}

TEST_F(WatchTest, PaysForTheExitsThatItsWorkIsDoneAt)
{
    constexpr std::uint64_t cheapest = 500'000; // much, for the few pieces that scans of this model have
    constexpr std::uint16_t permille = 50;
    std::uint64_t position = 0;
    auto const stream = [&] {
        ++position;
        touch_range(16 * pages_of_mib + position % 60 * 512, 512, position % 3 == 0);
    };
    auto const share = [&] {
        start(permille);
        run(2, stream);
        measure_from_here();
        run(1.5, stream);
        return (true_share(0) + static_cast<double>(exits_ * 2 * cheapest) / static_cast<double>(guest_ns_)) * 1000;
    };
    EXPECT_GT(share(), permille * 1.15) << "nobody has measured what an exit costs";
    cheapest_exit_ = cheapest;
    EXPECT_LE(share(), permille * 1.15);
}

TEST_F(WatchTest, FollowsWhenTheWorkMoves)
{
    start(50);
    run(2, [&] { touch_range(20 * pages_of_mib, 4 * pages_of_mib, true); });
    ASSERT_TRUE(machine_.is_small(20 * pages_of_mib));
    run(4, [&] { touch_range(140 * pages_of_mib, 4 * pages_of_mib, true); });
    EXPECT_TRUE(machine_.is_small(140 * pages_of_mib));
    EXPECT_TRUE(machine_.is_small(144 * pages_of_mib - 1));
    EXPECT_FALSE(machine_.is_small(20 * pages_of_mib)) << "it is not looked at closely for ever";
    EXPECT_EQ(watch_->regions().fine_granules(), 2U);
}

TEST_F(WatchTest, WithoutRoomNothingIsLookedAtAndNothingIsSaidToHaveBeen)
{
    start(50);
    auto const work = [&] { touch_range(100 * pages_of_mib, 4 * pages_of_mib, true); };
    run(1, work);
    machine_.free = 100;
    std::uint64_t const scanned = machine_.scanned_bytes, seen = machine_.small_pages_seen;
    run(1, work);
    EXPECT_EQ(machine_.small_pages_seen, seen);
    EXPECT_LE(machine_.scanned_bytes - scanned, 2 * memory_mib * mib) << "only what was under way";
    machine_.free = 1ULL << 60;
    run(0.5, work);
    EXPECT_GT(machine_.small_pages_seen, seen);
}

TEST_F(WatchTest, PagesOfInterestAreSeenByTheirNextAccess)
{
    machine_.encrypted_from = 120 * mib;
    machine_.encrypted_end = 124 * mib;
    start(50);
    std::uint64_t const first = 120 * pages_of_mib, count = 8 * pages_of_mib; // half of them look encrypted
    auto const work = [&] {
        for (int i = 0; i < 30; ++i)
            machine_.touch(first + random_() % count, true);
    };
    machine_.keep = true;
    run(3, work);
    std::size_t by_fault = 0, with_entropy = 0;
    std::vector<std::uint64_t> armed;
    for (auto const& item : machine_.records) {
        wire::Record const& record = item.record;
        auto const kind = static_cast<wire::Kind>(record.kind.get());
        std::uint64_t const page = record.address.get() & ~(page_bytes - 1);
        if (kind == wire::Kind::memory_armed)
            armed.push_back(page);
        if (kind == wire::Kind::memory_disarmed)
            std::erase(armed, page);
        if (kind == wire::Kind::memory_write && record.flags.get() == 0) {
            ++by_fault;
            EXPECT_NE(std::find(armed.begin(), armed.end(), page), armed.end()) << "not said to be armed";
            EXPECT_TRUE(page >= 120 * mib && page < 124 * mib) << "it holds nothing of interest";
            EXPECT_EQ(record.address.get() & (page_bytes - 1), 0x123U);
            EXPECT_EQ(record.source.get(), 1U);
        }
        with_entropy += (record.flags.get() & wire::record_flag::has_entropy) != 0 ? 1 : 0;
        EXPECT_LE(armed.size(), FaultCapture::max_armed);
    }
    EXPECT_GT(by_fault, 5U);
    EXPECT_GT(with_entropy, by_fault);
}

TEST_F(WatchTest, ExecutionOfWhatWasJustWrittenIsSeen)
{
    start(50);
    std::uint64_t const page = 90 * pages_of_mib + 7;
    auto const use = [&] { machine_.touch(page, true); };
    run(2, use);
    machine_.keep = true;
    run(0.2, use);
    machine_.touch(page, false, true);
    bool executed = false;
    for (auto const& item : machine_.records)
        executed = executed || (item.record.kind.get() == static_cast<std::uint8_t>(wire::Kind::memory_execute) &&
                                item.record.address.get() == page * page_bytes + 0x123);
    EXPECT_TRUE(executed);
    std::uint64_t const faults = machine_.faults;
    machine_.touch(page, false, true);
    EXPECT_EQ(machine_.faults, faults) << "once is enough";
    watch_->stop(clock_.tsc());
    for (std::uint64_t n = 256; n < machine_.pages(); ++n)
        ASSERT_EQ(machine_.state(Gpa{n * page_bytes}).rights, paging::rights_all);
}

TEST_F(WatchTest, RefusesWhatItCannotDo)
{
    start(50);
    wire::MemoryRequest request{};
    request.range_begin = std::uint64_t{0x10};
    EXPECT_EQ(watch_->judge(request), wire::ControlResult::bad_request);
    request = {};
    request.budget_permille = std::uint16_t{1001};
    EXPECT_EQ(watch_->judge(request), wire::ControlResult::bad_request);
    request = {};
    request.flags = wire::memory_flag::huge_pages;
    EXPECT_EQ(watch_->judge(request), wire::ControlResult::bad_request);
    options_.access_bits = false;
    watch_ = std::make_unique<Watch>(EngineParts{&machine_, &machine_, &machine_, &clock_}, options_);
    request = {};
    EXPECT_EQ(watch_->judge(request), wire::ControlResult::not_possible);
}

} // namespace
} // namespace undercroft::memory
