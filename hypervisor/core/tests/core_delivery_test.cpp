// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "hypervisor/backend/fake/fake_cpu.hpp"
#include "hypervisor/core/delivery.hpp"

namespace undercroft::core {
namespace {

using backend::ExitKind;
using backend::fake::FakeCpu;

constexpr std::uint64_t delay = 1000, backlog_delay = 100, repeat = 4000, keep_alive = 50'000, idle_check = 20,
                        slice = 5000;

struct Work final : DeliveryWork {
    bool unsent() const override { return unsent_records; }
    bool unacknowledged() const override { return unacknowledged_records; }
    bool backlog() const override { return closed_slots; }
    std::uint64_t answers() const override { return answered; }
    bool poll(Tsc now, bool everything) override
    {
        ++polls;
        all_asked = everything;
        last = now;
        if (busy_elsewhere)
            return false;
        if (polls <= moves_until)
            ++answered;
        if (asks && !unsent_records)
            unacknowledged_records = true;
        if (sends && unsent_records) {
            unsent_records = false;
            unacknowledged_records = true;
        }
        if (polls >= acknowledged_at_poll) {
            unacknowledged_records = false;
            ++answered;
        }
        return true;
    }
    bool unsent_records = false, unacknowledged_records = false, closed_slots = false;
    std::uint64_t answered = 1;
    bool busy_elsewhere = false; ///< another CPU sends
    unsigned moves_until = 0;    ///< each of the first polls brings an answer
    bool asks = false;           ///< a poll without records asks for the time
    bool sends = true, all_asked = false;
    unsigned polls = 0, acknowledged_at_poll = ~0U;
    Tsc last{};
};

struct Host final : DeliveryHost {
    Tsc now() const override { return Tsc{time += step}; }
    bool interrupt_waits() const override { return waits_from != 0 && ++asked >= waits_from; }
    bool commands_outstanding() const override { return outstanding; }
    Tsc monitor_due() const override { return due; }
    void run_monitor(Tsc now) override
    {
        ++monitor_runs;
        if (due <= now)
            due = next_due;
    }
    bool wake_by(Tsc wanted, Tsc) override
    {
        wake = wanted;
        return card_calls;
    }
    bool card_calls = false; ///< the network card serves as a timer
    Tsc wake = no_time;
    Tsc due = no_time, next_due = no_time; ///< of the memory monitor
    unsigned monitor_runs = 0;
    mutable std::uint64_t time = 1'000'000;
    std::uint64_t step = 0; ///< ticks that pass between two readings
    unsigned waits_from = 0;
    mutable unsigned asked = 0;
    bool outstanding = false;
};

struct CoreDelivery : ::testing::Test {
    [[nodiscard]] bool armed() const { return cpu.halt_intercepted || cpu.interrupts_intercepted; }
    FakeCpu cpu;
    Work work;
    Host host;
    Delivery<FakeCpu> delivery{cpu,
                               work,
                               host,
                               {.send_delay_ticks = delay,
                                .backlog_ticks = backlog_delay,
                                .repeat_ticks = repeat,
                                .keep_alive_ticks = keep_alive,
                                .idle_check_ticks = idle_check,
                                .idle_slice_ticks = slice}};
};

TEST_F(CoreDelivery, NothingToSendCostsNothing)
{
    for (ExitKind const kind : {ExitKind::port, ExitKind::nested_fault, ExitKind::halt, ExitKind::interrupt})
        delivery.after_exit(kind);
    EXPECT_EQ(work.polls, 1U) << "status and clock, once in keep_alive_ticks";
    EXPECT_FALSE(work.all_asked);
    host.time += keep_alive;
    delivery.after_exit(ExitKind::port);
    EXPECT_EQ(work.polls, 2U);
    EXPECT_TRUE(cpu.calls.empty()) << "no intercept is written when it does not change";
}

TEST_F(CoreDelivery, AnswerToAQuestionIsLookedForSoon)
{
    work.asks = true;
    delivery.after_exit(ExitKind::port);
    EXPECT_TRUE(cpu.halt_intercepted && cpu.interrupts_intercepted) << "not only at the next exit, whenever that is";
    work.asks = false;
    work.acknowledged_at_poll = 3;
    host.step = 1;
    delivery.after_exit(ExitKind::halt);
    EXPECT_FALSE(work.unacknowledged_records);
    EXPECT_FALSE(armed());
}

TEST_F(CoreDelivery, FirstRecordLeavesAtOnceLaterOnesBatch)
{
    host.outstanding = true;
    work.unsent_records = true;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(work.polls, 1U);
    EXPECT_TRUE(work.all_asked);
    work.unsent_records = true;
    host.time += delay - 1;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(work.polls, 1U);
    host.time += 1;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(work.polls, 2U);
    EXPECT_FALSE(work.unsent());
}

TEST_F(CoreDelivery, FullSlotsNeedNoCompany)
{
    host.outstanding = true;
    work.unsent_records = work.closed_slots = true;
    work.sends = false;
    delivery.after_exit(ExitKind::nested_fault);
    host.time += backlog_delay - 1;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(work.polls, 1U);
    host.time += 1;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(work.polls, 2U);
}

TEST_F(CoreDelivery, NothingIsArmedWhileCommandsAreOutstanding)
{
    host.outstanding = true;
    work.unsent_records = true;
    work.sends = false; // the card takes nothing
    for (unsigned i = 0; i < 10; ++i) {
        host.time += delay;
        delivery.after_exit(ExitKind::nested_fault);
        EXPECT_FALSE(armed());
    }
}

TEST_F(CoreDelivery, ArmedWhenTheLastCommandIsDoneAndSomethingWaits)
{
    host.outstanding = true;
    work.unsent_records = true;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_FALSE(armed());
    host.outstanding = false;
    delivery.after_exit(ExitKind::nested_fault); // sent, not acknowledged
    EXPECT_TRUE(cpu.halt_intercepted);
    EXPECT_TRUE(cpu.interrupts_intercepted);
    host.outstanding = true; // the next command's doorbell
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_FALSE(armed());
}

TEST_F(CoreDelivery, DisarmedWhenAllIsAcknowledged)
{
    work.unsent_records = true;
    delivery.after_exit(ExitKind::nested_fault);
    ASSERT_TRUE(armed());
    work.unacknowledged_records = false;
    delivery.after_exit(ExitKind::msr_read);
    EXPECT_FALSE(armed());
    EXPECT_EQ(cpu.count("intercept_halt"), 2U);
    EXPECT_EQ(cpu.count("intercept_interrupts"), 2U);
}

TEST_F(CoreDelivery, AnInterruptIsLetThrough)
{
    work.unsent_records = true;
    work.sends = false;
    delivery.after_exit(ExitKind::nested_fault);
    ASSERT_TRUE(cpu.interrupts_intercepted);
    delivery.after_exit(ExitKind::interrupt);
    EXPECT_FALSE(cpu.interrupts_intercepted) << "or the guest would never get it";
    EXPECT_TRUE(cpu.halt_intercepted) << "something waits still";
    EXPECT_EQ(work.polls, 2U) << "what was unsent is tried at once, whatever the delay";
}

TEST_F(CoreDelivery, IdleWaitsForTheAcknowledgement)
{
    host.step = 10;
    work.unsent_records = true;
    work.acknowledged_at_poll = 7;
    delivery.after_exit(ExitKind::halt);
    EXPECT_EQ(work.polls, 7U);
    EXPECT_FALSE(armed()) << "the guest halts natively";
}

TEST_F(CoreDelivery, IdleEndsWhenAnInterruptWaits)
{
    host.step = 10;
    host.waits_from = 4;
    work.unsent_records = true;
    delivery.after_exit(ExitKind::halt);
    EXPECT_EQ(work.polls, 4U) << "one before each look, none after it";
    EXPECT_FALSE(cpu.halt_intercepted) << "the HLT that exited must be executed now";
    EXPECT_TRUE(cpu.interrupts_intercepted) << "the acknowledgement is still awaited";
}

TEST_F(CoreDelivery, IdleGoesOnWhileSomethingMoves)
{
    host.step = 100;
    work.unsent_records = true;
    work.sends = false;
    work.moves_until = 500;
    std::uint64_t const begin = host.time;
    delivery.after_exit(ExitKind::halt);
    EXPECT_GE(host.time - begin, 500 * host.step + slice - host.step);
    EXPECT_LE(host.time - begin, 500 * host.step + slice + 3 * host.step);
}

TEST_F(CoreDelivery, IdleEndsWhenTheSliceIsOver)
{
    host.step = 100;
    work.unsent_records = true;
    work.sends = false;
    std::uint64_t const begin = host.time;
    delivery.after_exit(ExitKind::halt);
    EXPECT_GE(host.time - begin, slice);
    EXPECT_LE(host.time - begin, slice + 3 * host.step) << "nothing moved";
    EXPECT_FALSE(cpu.halt_intercepted);
    EXPECT_TRUE(cpu.interrupts_intercepted);
}

TEST_F(CoreDelivery, NobodyWaitsAgainForACollectorThatDidNotAnswer)
{
    host.step = 100;
    work.unsent_records = true;
    delivery.after_exit(ExitKind::halt);
    ASSERT_GT(work.polls, 10U);
    work.polls = 0;
    delivery.after_exit(ExitKind::halt);
    EXPECT_EQ(work.polls, 1U) << "sends, but does not wait";
    ++work.answered;
    work.polls = 0;
    delivery.after_exit(ExitKind::halt);
    EXPECT_GT(work.polls, 10U);
}

TEST_F(CoreDelivery, OnlyTheSendingCpuWaits)
{
    host.step = 100;
    work.unsent_records = work.busy_elsewhere = true;
    delivery.after_exit(ExitKind::halt);
    EXPECT_EQ(work.polls, 1U);
}

TEST_F(CoreDelivery, RepeatsDoNotMakeABusyCpuExitForEachInterrupt)
{
    work.unsent_records = true;
    delivery.after_exit(ExitKind::nested_fault); // sent: only the acknowledgement is missing
    ASSERT_TRUE(cpu.interrupts_intercepted);
    delivery.after_exit(ExitKind::interrupt);
    host.time += repeat - 1;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_TRUE(cpu.halt_intercepted);
    EXPECT_FALSE(cpu.interrupts_intercepted);
    host.time += 1;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_TRUE(cpu.interrupts_intercepted);
}

TEST_F(CoreDelivery, InterruptAfterTheIdleSliceArmsTheNextHalt)
{
    host.step = 100;
    work.unsent_records = true;
    work.sends = false;
    delivery.after_exit(ExitKind::halt);
    delivery.after_exit(ExitKind::interrupt);
    EXPECT_TRUE(cpu.halt_intercepted);
    EXPECT_FALSE(cpu.interrupts_intercepted);
}

struct TimedDelivery : CoreDelivery {
    TimedDelivery() { cpu.has_timer = true; }
};

TEST_F(TimedDelivery, NothingWaitsNothingIsArmed)
{
    delivery.after_exit(ExitKind::nested_fault);
    host.time += keep_alive;
    delivery.after_exit(ExitKind::port);
    EXPECT_TRUE(cpu.calls.empty());
}

TEST_F(TimedDelivery, TheTimerReplacesInterceptedHaltsAndInterrupts)
{
    work.unsent_records = true;
    delivery.after_exit(ExitKind::nested_fault); // sent at once, not acknowledged
    EXPECT_EQ(work.polls, 1U);
    EXPECT_EQ(cpu.timer_ticks, repeat);
    EXPECT_FALSE(armed());
}

TEST_F(TimedDelivery, TheTimerSendsWhatWaitsForCompany)
{
    work.unsent_records = true;
    work.sends = false; // the card takes nothing
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(cpu.timer_ticks, delay);
    host.time += delay - 1;
    work.sends = true;
    delivery.after_exit(ExitKind::timer); // the CPU's clock and the TSC may differ by a tick
    EXPECT_EQ(work.polls, 2U);
    EXPECT_FALSE(work.unsent());
}

TEST_F(TimedDelivery, FullSlotsAreSentSooner)
{
    work.unsent_records = work.closed_slots = true;
    work.sends = false;
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(cpu.timer_ticks, backlog_delay);
}

TEST_F(TimedDelivery, OtherExitsDoNotPutTheTimerOff)
{
    work.unsent_records = true;
    work.sends = false;
    delivery.after_exit(ExitKind::nested_fault);
    for (unsigned i = 0; i < 5; ++i) {
        host.time += delay / 10;
        delivery.after_exit(ExitKind::cpuid);
    }
    EXPECT_EQ(cpu.count("arm_timer"), 1U);
    EXPECT_EQ(work.polls, 1U);
}

TEST_F(TimedDelivery, DisarmedWhenAllIsAcknowledged)
{
    work.unsent_records = true;
    work.acknowledged_at_poll = 2;
    delivery.after_exit(ExitKind::nested_fault);
    ASSERT_NE(cpu.timer_ticks, 0U);
    host.time += repeat;
    delivery.after_exit(ExitKind::timer);
    EXPECT_EQ(work.polls, 2U);
    EXPECT_EQ(cpu.timer_ticks, 0U);
    EXPECT_FALSE(armed());
    delivery.after_exit(ExitKind::cpuid);
    EXPECT_EQ(cpu.count("arm_timer"), 2U) << "and stays so";
}

// The memory monitor wants exits at certain times.

TEST_F(CoreDelivery, TheMonitorsTicksAreTheGuestsInterrupts)
{
    host.due = Tsc{host.time + 1'000'000};
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_TRUE(cpu.interrupts_intercepted);
    EXPECT_FALSE(cpu.halt_intercepted) << "nothing is due soon: the guest idles natively";
    delivery.after_exit(ExitKind::interrupt);
    EXPECT_FALSE(cpu.interrupts_intercepted) << "this one is let through";
    EXPECT_EQ(cpu.count("exit_when_interruptible"), 1U);
    delivery.after_exit(ExitKind::interruptible);
    EXPECT_TRUE(cpu.interrupts_intercepted) << "the next one exits again";
    EXPECT_EQ(work.polls, 1U) << "nothing is to be sent: the keep-alive only";
    host.due = no_time;
    delivery.after_exit(ExitKind::cpuid);
    EXPECT_FALSE(armed());
}

TEST_F(CoreDelivery, TheMonitorWorksWhileTheGuestIdles)
{
    host.due = Tsc{host.time + slice / 5};
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_TRUE(cpu.halt_intercepted) << "something is due soon";
    host.step = 1;
    host.next_due = Tsc{host.time + 1'000'000};
    delivery.after_exit(ExitKind::halt);
    EXPECT_GT(host.monitor_runs, 0U);
    EXPECT_EQ(host.due, host.next_due);
    EXPECT_FALSE(cpu.halt_intercepted);
    EXPECT_TRUE(cpu.interrupts_intercepted);
}

TEST_F(CoreDelivery, AnInterruptEndsTheMonitorsIdleWork)
{
    host.due = Tsc{host.time};
    host.next_due = Tsc{host.time};
    delivery.after_exit(ExitKind::nested_fault);
    host.step = 1;
    host.waits_from = 5;
    delivery.after_exit(ExitKind::halt); // would never end otherwise: there is always more
    EXPECT_EQ(host.monitor_runs, 4U);
}

TEST_F(CoreDelivery, StatusGoesOnWhileOnlyTheMonitorWorks)
{
    host.due = Tsc{host.time + (1ULL << 40)};
    for (unsigned i = 0; i < 10; ++i) {
        host.time += keep_alive / 2;
        delivery.after_exit(ExitKind::interrupt);
    }
    EXPECT_GE(work.polls, 4U);
}

TEST_F(CoreDelivery, TheCardsCallsReplaceTheMonitorsInterrupts)
{
    host.due = Tsc{host.time + 1'000'000};
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(host.wake, host.due) << "asked for";
    EXPECT_TRUE(cpu.interrupts_intercepted) << "but not relied on yet";
    host.card_calls = true;
    delivery.after_exit(ExitKind::nmi);
    EXPECT_FALSE(armed());
    work.unsent_records = true;
    work.sends = false;
    delivery.after_exit(ExitKind::nmi);
    EXPECT_EQ(host.wake.value, host.time + delay) << "sending is due sooner";
    EXPECT_TRUE(cpu.halt_intercepted) << "an idle CPU sends";
    EXPECT_FALSE(cpu.interrupts_intercepted);
    cpu.calls.clear();
    host.step = 1;
    delivery.after_exit(ExitKind::halt);
    EXPECT_FALSE(armed()) << "then it halts natively: the card's call wakes it";
}

TEST_F(CoreDelivery, WithoutTheMonitorTheCardIsNotAsked)
{
    host.card_calls = true;
    host.step = 1;
    work.unsent_records = true;
    work.sends = false;
    for (ExitKind const kind : {ExitKind::nested_fault, ExitKind::interrupt, ExitKind::halt})
        delivery.after_exit(kind);
    EXPECT_EQ(host.wake, no_time);
}

TEST_F(TimedDelivery, TheTimerIsTheMonitorsToo)
{
    host.due = Tsc{host.time + 3 * repeat};
    delivery.after_exit(ExitKind::nested_fault);
    EXPECT_EQ(cpu.timer_ticks, 3 * repeat);
    EXPECT_FALSE(armed());
    work.unsent_records = true;
    work.sends = false;
    delivery.after_exit(ExitKind::cpuid);
    host.time += 3 * repeat;
    host.due = Tsc{host.time + delay / 4};
    delivery.after_exit(ExitKind::timer);
    EXPECT_EQ(cpu.timer_ticks, delay / 4) << "the sooner of the two";
    host.due = Tsc{host.time};
    delivery.after_exit(ExitKind::timer);
    EXPECT_EQ(cpu.timer_ticks, idle_check) << "the guest is left some time";
    host.due = no_time;
    work.unsent_records = work.unacknowledged_records = false;
    delivery.after_exit(ExitKind::timer);
    EXPECT_EQ(cpu.timer_ticks, 0U);
}

} // namespace
} // namespace undercroft::core
