// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/snapshot.hpp"

#include <random>

#include "hypervisor/memory/tests/machine_model.hpp"

namespace undercroft::memory {
namespace {

using model::Image;
namespace flag = wire::memory_flag;

/// What the collector makes of the stream.
struct Sweep {
    std::uint64_t number = 0;
    bool incremental = false, consistent = false, ended = false, ended_consistent = false;
    std::uint32_t said = 0; ///< pages, by its end
    Image pages;
};

class SnapshotTest : public testing::Test, protected DeviceWriteListener, protected observe::RoomMaker {
protected:
    SnapshotTest()
        : machine_{{{Gpa{0x1000}, 150 * page_bytes},
                    {Gpa{0x200000}, 1100 * page_bytes},
                    {Gpa{0x900000}, 3 * page_bytes}}},
          bits_{model::Bits{pages()}, model::Bits{pages()}, model::Bits{pages()}, model::Bits{pages()}},
          log_{machine_.index, {map(1), {map(2), map(3)}}}
    {
        log_.set_listener(this);
        options_.tick_us = 10;
    }
    std::uint64_t pages() const { return machine_.index.pages(); }
    PageBitmap map(std::size_t n) { return bits_[n].map(); }

    void make(std::size_t reserve)
    {
        reserve_.resize(reserve);
        snapshot_ = std::make_unique<Snapshot>(
            EngineParts{&machine_, &stream_, &machine_, &clock_},
            SnapshotParts{&machine_.index, &log_, &machine_, &machine_, this, map(0), reserve_}, options_);
        machine_.use(*snapshot_);
    }
    void start(std::uint16_t flags, std::uint32_t period_us, std::uint32_t rate_kib = 1U << 30)
    {
        wire::MemoryRequest request{};
        request.flags = flags;
        request.period_us = period_us;
        request.rate_kib_per_s = rate_kib;
        request.budget_permille = std::uint16_t{1000};
        ASSERT_EQ(snapshot_->judge(request), wire::ControlResult::done);
        snapshot_->start(request, clock_.tsc());
        next_tick_ = clock_.tsc();
    }
    void let_pass(std::uint64_t ns)
    {
        clock_.now += ns;
        machine_.now = clock_.now;
        if (clock_.now >= next_tick_.value)
            next_tick_ = snapshot_->tick(clock_.tsc());
    }
    /// Nothing but the sweeper runs until that many have come to their end.
    void run_until_cycles(std::uint64_t cycles)
    {
        for (int i = 0; i < 100000 && done() < cycles; ++i)
            let_pass(10'000);
        ASSERT_EQ(done(), cycles);
    }
    std::uint64_t done() const
    {
        wire::MemoryStatus status{};
        snapshot_->status(status);
        return status.cycles.get();
    }
    std::uint64_t held() const
    {
        wire::MemoryStatus status{};
        snapshot_->status(status);
        return status.held.get();
    }
    std::uint64_t random_page() { return machine_.index.page(random_() % pages()).value; }
    std::uint64_t random_hot_page()
    {
        return machine_.index.page(random_() % 2 == 0 ? random_() % 60 : random_() % pages()).value;
    }

    void before_device_write(PageRange range) override { snapshot_->on_device_write(range, 1, clock_.tsc()); }
    void make_room() override
    {
        ++room_made_;
        clock_.now += 20'000;
        if (collector_alive_)
            stream_.free += 4128;
    }

    /// Fails for a page said twice in one sweep.
    std::vector<Sweep> sweeps() const
    {
        std::vector<Sweep> all;
        for (auto const& item : stream_.items)
            read(item, all);
        return all;
    }
    static void read(model::ModelStream::Item const& item, std::vector<Sweep>& all)
    {
        wire::Record const& record = item.record;
        switch (static_cast<wire::Kind>(record.kind.get())) {
        case wire::Kind::memory_sweep_begin:
            all.emplace_back();
            all.back().number = record.address.get();
            all.back().incremental = record.length.get() == 1;
            all.back().consistent = record.source.get() == 1;
            break;
        case wire::Kind::memory_sweep_end:
            ASSERT_FALSE(all.empty());
            EXPECT_EQ(all.back().number, record.address.get());
            all.back().ended = true;
            all.back().ended_consistent = record.source.get() == 1;
            all.back().said = record.length.get();
            break;
        case wire::Kind::memory_page: {
            ASSERT_FALSE(all.empty()) << "a page before its sweep's begin";
            model::Page page{};
            bool const zero = (record.flags.get() & wire::record_flag::zero_content) != 0;
            EXPECT_EQ(item.content.size(), zero ? 0U : page_bytes);
            std::copy(item.content.begin(), item.content.end(), page.begin());
            EXPECT_TRUE(all.back().pages.emplace(record.address.get(), page).second) << "a page twice";
            break;
        }
        default:
            ADD_FAILURE() << "kind " << unsigned{record.kind.get()};
        }
    }
    static void lay_over(Image& image, Image const& later)
    {
        for (auto const& [at, page] : later)
            image[at] = page;
    }
    /// Not EXPECT_EQ: a difference would print megabytes.
    static std::size_t differing_pages(Image const& a, Image const& b)
    {
        std::size_t count = 0;
        for (auto const& [at, page] : a)
            if (auto const other = b.find(at); other == b.end() || other->second != page)
                ++count;
        return count + (b.size() > a.size() ? b.size() - a.size() : 0);
    }

    model::ModelMachine machine_;
    model::ModelClock clock_;
    model::ModelStream stream_;
    std::array<model::Bits, 4> bits_;
    DirtyLog log_;
    SnapshotOptions options_;
    std::vector<ReservedPage> reserve_;
    std::unique_ptr<Snapshot> snapshot_;
    Tsc next_tick_{};
    std::mt19937 random_{12345};
    std::uint32_t value_ = 0;
    unsigned room_made_ = 0;
    bool collector_alive_ = true;
};

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

TEST_F(SnapshotTest, KeepsToItsShareOfTime)
{
    options_.tick_us = 100;
    make(0);
    clock_.tick_per_reading = 5'000; // each look at the clock is 5 us of work
    wire::MemoryRequest request{};
    request.rate_kib_per_s = std::uint32_t{1U << 30};
    request.budget_permille = std::uint16_t{20};
    ASSERT_EQ(snapshot_->judge(request), wire::ControlResult::done);
    snapshot_->start(request, clock_.tsc());
    std::uint64_t in_ticks = 0, begun = clock_.now;
    Tsc next = clock_.tsc();
    for (int i = 0; i < 200000 && done() == 0; ++i) {
        clock_.now += 20'000;
        if (clock_.now < next.value)
            continue;
        std::uint64_t const before = clock_.now;
        next = snapshot_->tick(Tsc{clock_.now});
        in_ticks += clock_.now - before;
    }
    ASSERT_EQ(done(), 1U);
    double const share = static_cast<double>(in_ticks) / static_cast<double>(clock_.now - begun);
    EXPECT_LT(share, 0.025);
    EXPECT_GT(share, 0.01);
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
