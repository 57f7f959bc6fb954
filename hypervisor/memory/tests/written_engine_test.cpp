// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/written_engine.hpp"

#include <gtest/gtest.h>

#include <random>

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
class Written : public ::testing::Test {
public:
    Written() { rig.monitor.add(MemoryMode::written, engine); }
    ControlResult start(auto&& set) { return rig.request(MemoryMode::written, MemoryAction::start, set); }
    [[nodiscard]] std::vector<Remembered> records() const { return rig.stream.accesses(); }
    EngineRig<Format> rig;
    std::vector<std::uint8_t> writes = std::vector<std::uint8_t>((gib + 8 * mib) / 4096);
    WrittenEngine engine{rig.parts(), rig.monitor, writes, {}};
};
using Formats = ::testing::Types<paging::NptFormat, paging::EptFormat>;
TYPED_TEST_SUITE(Written, Formats);

constexpr std::uint64_t page = 4 * mib + 0x3000;

TYPED_TEST(Written, APageArrivesAsItIsAfterTheWrite)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    this->rig.read(page);
    this->rig.execute(page + 4096);
    EXPECT_TRUE(this->records().empty()) << "reads and fetches cost nothing";
    this->rig.write(page + 5);
    EXPECT_TRUE(this->records().empty());
    this->rig.pass_ms(9);
    EXPECT_TRUE(this->records().empty());
    this->rig.pass_ms(1);
    ASSERT_EQ(this->records().size(), 1U);
    Remembered const one = this->records()[0];
    EXPECT_EQ(one.kind(), Kind::memory_write);
    EXPECT_EQ(one.record.address.get(), page + 5);
    EXPECT_EQ(one.record.entropy.get(), 321U);
    ASSERT_EQ(one.content.size(), 4096U);
    EXPECT_EQ(one.content[5], std::byte{1});
    this->rig.write(page + 6);
    this->rig.pass_ms(10);
    ASSERT_EQ(this->records().size(), 2U);
    EXPECT_EQ(this->records()[1].content[6], std::byte{2});
}

TYPED_TEST(Written, TheQueueIsAsDeepAsAsked)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.delay_depth = std::uint16_t{3}; }), ControlResult::done);
    for (std::uint64_t i = 0; i < 40; ++i)
        this->rig.write(page + i * 4096);
    std::size_t const before = this->records().size();
    EXPECT_GE(before, 40U - 3 - 16 - 1);
    EXPECT_LE(before, 40U - 3);
    for (std::size_t i = 0; i < before; ++i)
        EXPECT_EQ(this->records()[i].record.address.get(), page + i * 4096) << "oldest first";
    unsigned const flushes = this->rig.shootdown.flushes;
    EXPECT_LE(flushes, 1U + 3) << "one shootdown for many pages";
    this->rig.clock.now.value += 2'000'000;
    for (int i = 0; i < 10; ++i)
        this->rig.monitor.tick(this->rig.clock.now);
    EXPECT_EQ(this->records().size(), 40U - 3);
}

/// The heart of it: whatever happens between the grant and the write, no page is recorded before its write.
TYPED_TEST(Written, APageIsNeverCopiedBeforeItsWrite)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    // CPU 1 faults and is granted; an interrupt takes it elsewhere before the instruction runs again.
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read_write, 1));
    std::uint64_t const instruction = this->rig.positions[1];
    this->rig.positions[1] = 77;
    this->rig.exit(1);
    for (std::uint64_t i = 1; i < 100; ++i)
        this->rig.write(page + i * 4096, 0);
    this->rig.pass_ms(1000);
    for (Remembered const& one : this->records())
        EXPECT_NE(one.record.address.get(), page) << "nothing was written there yet";
    // Much later the task goes on, on another CPU.
    this->rig.positions[2] = instruction;
    this->rig.write(page, 2);
    this->rig.pass_ms(10);
    ASSERT_EQ(this->records().back().record.address.get(), page);
    EXPECT_EQ(this->records().back().content[0], std::byte{this->rig.written});
}

TYPED_TEST(Written, AnInstructionThatWritesTwoPagesIsThroughWhenItsCpuMoves)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    std::uint64_t const second = page + 4096;
    EXPECT_FALSE(this->rig.attempt(page + 4092, paging::rights_read_write, 1));
    // Its second try marks the first page and faults on the second; nothing is written.
    Walker<TypeParam>::walk(this->rig.rig.root(), page + 4092, paging::rights_read_write);
    EXPECT_FALSE(this->rig.attempt(second, paging::rights_read_write, 1));
    this->rig.pass_ms(20);
    this->rig.pass_ms(20);
    EXPECT_TRUE(this->records().empty()) << "the CPU still stands at it";
    // Third try.
    while (!this->rig.attempt(page + 4092, paging::rights_read_write, 1) ||
           !this->rig.attempt(second, paging::rights_read_write, 1)) {
    }
    ++this->rig.positions[1];
    this->rig.exit(1);
    this->rig.pass_ms(20);
    ASSERT_EQ(this->records().size(), 2U);
    EXPECT_NE(this->records()[0].content[4092], std::byte{0});
    EXPECT_NE(this->records()[1].content[0], std::byte{0});
}

TYPED_TEST(Written, AWriteThatWasSeenStandingIsNotLost)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read_write, 1));
    EXPECT_TRUE(this->rig.attempt(page, paging::rights_read_write, 1)); // written; the CPU loops at this place
    this->rig.pass_ms(10);
    EXPECT_TRUE(this->records().empty());
    ++this->rig.positions[1];
    this->rig.exit(1);
    this->rig.pass_ms(10);
    EXPECT_EQ(this->records().size(), 1U);
    // A jump to itself never moves.
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read_write, 1));
    EXPECT_TRUE(this->rig.attempt(page, paging::rights_read_write, 1));
    for (int i = 0; i < 12; ++i)
        this->rig.pass_ms(10);
    EXPECT_EQ(this->records().size(), 2U);
}

/// Ranges that the stream says were armed or left alone since `from`.
std::vector<std::pair<Kind, std::uint64_t>> said(std::vector<Remembered> const& all, std::size_t from = 0)
{
    std::vector<std::pair<Kind, std::uint64_t>> found;
    for (Remembered const& one : std::span{all}.subspan(from))
        if (one.kind() == Kind::memory_armed || one.kind() == Kind::memory_disarmed)
            found.emplace_back(one.kind(), one.record.address.get());
    return found;
}

TYPED_TEST(Written, BeyondTheBudgetPagesAreLeftAloneAndSaidToBe)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.budget_permille = std::uint16_t{1}; }),
              ControlResult::done);
    std::size_t const started = this->rig.stream.records.size();
    // A fault costs 3,000 ticks at least, 20 ms of a thousandth of the time are spent soon.
    std::uint64_t at = page;
    while (said(this->rig.stream.records, started).empty() && at < page + 100 * 4096)
        this->rig.write(at += 4096);
    using Said = std::pair<Kind, std::uint64_t>;
    EXPECT_EQ(said(this->rig.stream.records, started),
              (std::vector<Said>{{Kind::memory_disarmed, at & ~(2 * mib - 1)}}));
    std::uint64_t const faults = this->rig.faults;
    for (std::uint64_t i = 1; i < 20; ++i)
        this->rig.write((at & ~(2 * mib - 1)) + (300 + i) * 4096);
    EXPECT_EQ(this->rig.faults, faults) << "one fault for all of the 2 MiB";
    this->rig.write(at + 2 * mib);
    EXPECT_EQ(this->rig.faults, faults + 1);
    this->rig.pass_ms(2000); // everything is paid for
    this->rig.pass_ms(10);
    auto const later = said(this->rig.stream.records, started);
    ASSERT_EQ(later.size(), 4U);
    EXPECT_EQ(later[2], (Said{Kind::memory_armed, at & ~(2 * mib - 1)})) << "oldest first";
    EXPECT_EQ(later[3], (Said{Kind::memory_armed, (at + 2 * mib) & ~(2 * mib - 1)}));
    std::size_t const before = this->records().size();
    this->rig.write(at);
    this->rig.pass_ms(10);
    ASSERT_EQ(this->records().size(), before + 1);
    EXPECT_EQ(this->records().back().record.address.get(), at);
}

TYPED_TEST(Written, SendingIsPartOfThePrice)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    std::size_t const started = this->rig.stream.records.size();
    this->rig.write(page);
    EXPECT_TRUE(said(this->rig.stream.records, started).empty());
    this->rig.stream.sending += this->rig.clock.tsc_hz();
    this->rig.write(page + 4096);
    this->rig.write(page + 8192);
    EXPECT_EQ(said(this->rig.stream.records, started).size(), 1U);
}

TYPED_TEST(Written, PagesAreLeftAloneWhileTheBufferIsNearlyFull)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    std::size_t const started = this->rig.stream.records.size();
    this->rig.stream.free = (1 << 18) - 1;
    this->rig.write(page);
    EXPECT_EQ(said(this->rig.stream.records, started).size(), 1U);
    this->rig.stream.free = 1 << 18;
    this->rig.write(page + 4 * mib);
    EXPECT_EQ(said(this->rig.stream.records, started).size(), 1U);
    this->rig.pass_ms(100);
    EXPECT_EQ(said(this->rig.stream.records, started).size(), 1U) << "armed again at half full";
    this->rig.stream.free = 1 << 19;
    this->rig.pass_ms(100);
    EXPECT_EQ(said(this->rig.stream.records, started).size(), 2U);
}

TYPED_TEST(Written, WithoutALimitNothingIsLeftAlone)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.budget_permille = std::uint16_t{1000}; }),
              ControlResult::done);
    std::size_t const started = this->rig.stream.records.size();
    this->rig.stream.sending += 1000 * this->rig.clock.tsc_hz();
    for (std::uint64_t i = 0; i < 3000; ++i)
        this->rig.write(page + i * 4096);
    EXPECT_TRUE(said(this->rig.stream.records, started).empty());
    EXPECT_EQ(this->start([](MemoryRequest& request) { request.budget_permille = std::uint16_t{1001}; }),
              ControlResult::bad_request);
}

TYPED_TEST(Written, RandomCpusInterruptsAndTimes)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    std::mt19937 random{42};
    struct Pending {
        std::uint64_t gpa, position;
    };
    std::vector<Pending> tasks; // granted, then interrupted
    std::map<std::uint64_t, std::size_t> done;
    for (int step = 0; step < 4000; ++step) {
        auto const cpu = static_cast<std::uint16_t>(random() % 3);
        std::uint64_t const gpa = page + random() % 300 * 4096;
        this->rig.positions[cpu] += 1000;
        if (!tasks.empty() && random() % 4 == 0) {
            this->rig.positions[cpu] = tasks.back().position;
            this->rig.write(tasks.back().gpa, cpu);
            ++done[tasks.back().gpa];
            tasks.pop_back();
        } else if (random() % 3 == 0) {
            if (!this->rig.attempt(gpa, paging::rights_read_write, cpu))
                tasks.push_back({gpa, this->rig.positions[cpu]});
            else
                ++done[gpa];
            this->rig.positions[cpu] += 500;
            this->rig.exit(cpu);
        } else {
            this->rig.write(gpa, cpu);
            ++done[gpa];
        }
        if (random() % 10 == 0)
            this->rig.pass_ms(random() % 8);
        for (Remembered const& one : this->records())
            if (one.record.length.get() != 0 && done[one.record.address.get()] == 0)
                FAIL() << "recorded before it was written, step " << step;
        if (this->rig.stream.records.size() > 200)
            this->rig.stream.records.clear();
    }
}

TYPED_TEST(Written, ThinningRecordsEveryMthWriteOfEachPage)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.thin = 3U; }), ControlResult::done);
    for (int i = 0; i < 7; ++i) {
        this->rig.write(page);
        this->rig.write(page + 4096);
        this->rig.pass_ms(10);
    }
    EXPECT_EQ(this->records().size(), 6U) << "the 1st, 4th and 7th of each";
}

TYPED_TEST(Written, ZeroPagesAndNoContentCarryNone)
{
    ASSERT_EQ(this->start([](MemoryRequest& request) { request.flags = wire::memory_flag::no_content; }),
              ControlResult::done);
    this->rig.write(page);
    this->rig.pass_ms(10);
    ASSERT_EQ(this->records().size(), 1U);
    EXPECT_TRUE(this->records()[0].content.empty());
    EXPECT_NE(this->records()[0].record.flags.get() & wire::record_flag::has_entropy, 0);
    this->rig.write(page + 4096);
    this->rig.ram.pages[page + 4096].fill(std::byte{0});
    this->rig.pass_ms(10);
    EXPECT_NE(this->records()[1].record.flags.get() & wire::record_flag::zero_content, 0);
}

TYPED_TEST(Written, PageTablesOfTheGuestStayOpenForASecond)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read_write, 0, true));
    EXPECT_TRUE(this->rig.attempt(page, paging::rights_read_write, 0, true));
    this->rig.pass_ms(900);
    EXPECT_TRUE(this->rig.attempt(page, paging::rights_read_write, 0, true));
    this->rig.pass_ms(200);
    EXPECT_FALSE(this->rig.attempt(page, paging::rights_read_write, 0, true));
}

TYPED_TEST(Written, WhatWaitsWhenItIsStoppedIsStillRecorded)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    this->rig.write(page);
    this->rig.exit(0);
    ASSERT_EQ(this->rig.request(MemoryMode::written, MemoryAction::stop, [](auto&) {}), ControlResult::done);
    EXPECT_EQ(this->records().size(), 1U);
    unsigned const faults = this->rig.faults;
    this->rig.write(page + 4096);
    EXPECT_LE(this->rig.faults, faults + 1) << "at most one to open the 2 MiB again";
    EXPECT_EQ(this->records().size(), 1U);
}

TYPED_TEST(Written, OtherModesMustWait)
{
    ASSERT_EQ(this->rig.start(MemoryMode::written), ControlResult::done);
    struct Other final : Engine {
        ControlResult judge(MemoryRequest&) const override { return ControlResult::done; }
        ViewUse view_use(MemoryRequest const&) const override { return use; }
        void start(MemoryRequest const&, Tsc) override {}
        void stop(Tsc) override {}
        void on_fault(Fault const&) override {}
        Tsc tick(Tsc) override { return never; }
        void status(wire::MemoryStatus&) const override {}
        ViewUse use = ViewUse::faults;
    } other;
    this->rig.monitor.add(MemoryMode::snapshot, other);
    EXPECT_EQ(this->rig.start(MemoryMode::snapshot), ControlResult::busy);
    other.use = ViewUse::none;
    EXPECT_EQ(this->rig.start(MemoryMode::snapshot), ControlResult::done);
    this->rig.write(page);
    this->rig.pass_ms(10);
    EXPECT_EQ(this->records().size(), 1U);
}

} // namespace
} // namespace undercroft::memory
