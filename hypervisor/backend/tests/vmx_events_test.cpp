// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The VMX backend on a model: NMIs, injected and interrupted events, single steps, the timer.
#include <gtest/gtest.h>

#include "hypervisor/backend/tests/vmx_rig.hpp"

namespace undercroft::vmx::testing {
namespace {

using backend::ExitKind;
using backend::Segment;

constexpr std::uint32_t nmi_event = 0x8000'0202, nmi_window = 1U << 22;
constexpr std::uint64_t step_bit = 1U << 14;

struct VmxEvents : ::testing::Test, Rig {
    /// What the next entry injects; 0: nothing.
    [[nodiscard]] std::uint32_t injected()
    {
        lay_out(reason::external_interrupt);
        (void)cpu.run();
        auto const event = static_cast<std::uint32_t>(hw().at_entry[Field::entry_event]);
        return (event & event::valid) != 0 ? event : 0;
    }
    [[nodiscard]] bool window_wanted() { return (hw().read(Field::primary_controls) & nmi_window) != 0; }
    void exit_with_exception(std::uint32_t info, std::uint64_t qualification = 0, std::uint32_t error = 0)
    {
        lay_out(reason::exception_or_nmi, 0, qualification);
        hw().next_exit[Field::exit_event] = info;
        hw().next_exit[Field::exit_error_code] = error;
        EXPECT_EQ(cpu.run().kind, ExitKind::debug_trap);
    }
};

TEST_F(VmxEvents, AnNmiIsInjectedOnce)
{
    cpu.inject_nmi();
    EXPECT_TRUE(cpu.event_pending());
    EXPECT_EQ(injected(), nmi_event);
    EXPECT_FALSE(cpu.event_pending());
    EXPECT_EQ(injected(), 0U);
}

TEST_F(VmxEvents, ABlockedNmiWaitsForItsWindow)
{
    for (std::uint64_t const why : {blocking::nmi, blocking::mov_ss, blocking::sti}) {
        hw().fields[Field::interruptibility] = why;
        cpu.inject_nmi();
        EXPECT_TRUE(window_wanted());
        EXPECT_EQ(injected(), 0U);
        hw().fields[Field::interruptibility] = 0;
        lay_out(reason::nmi_window);
        EXPECT_EQ(cpu.run().kind, ExitKind::handled);
        EXPECT_FALSE(window_wanted());
        EXPECT_EQ(injected(), nmi_event);
    }
}

TEST_F(VmxEvents, AnNmiDoesNotReplaceAnotherEvent)
{
    cpu.inject_general_protection();
    cpu.inject_nmi();
    EXPECT_EQ(injected(), 0x8000'0B0DU);
    EXPECT_TRUE(window_wanted());
}

TEST_F(VmxEvents, WhatTheSensorsHandlerTookIsHandedOn)
{
    cpu.note_nmi();
    cpu.note_nmi();
    unsigned const before = hw().entries;
    EXPECT_EQ(cpu.run().kind, ExitKind::nmi);
    backend::Exit const second = cpu.run();
    EXPECT_EQ(second.kind, ExitKind::nmi);
    EXPECT_FALSE(second.entered) << "counts as no exit";
    EXPECT_EQ(hw().entries, before) << "the guest does not run meanwhile";
    EXPECT_TRUE(window_wanted()) << "left from the handler; closes by itself";
    lay_out(reason::nmi_window);
    backend::Exit const window = cpu.run();
    EXPECT_EQ(window.kind, ExitKind::handled);
    EXPECT_TRUE(window.entered);
    EXPECT_FALSE(window_wanted());
}

TEST_F(VmxEvents, AnNmiAfterTheLastLookEndsTheEntryAtOnce)
{
    // As if the handler had run between run()'s look and VMRESUME: the window bit is in the VMCS already.
    cpu.intercept_halt(true);
    cpu.note_nmi();
    EXPECT_TRUE(window_wanted());
    lay_out(reason::nmi_window);
    EXPECT_EQ(cpu.run().kind, ExitKind::nmi);
}

TEST_F(VmxEvents, ConsumingOpensNmisAgain)
{
    cpu.consume_nmi();
    EXPECT_EQ(hw().nmis_opened, 1U) << "an NMI exit blocks further ones until an IRET";
}

TEST_F(VmxEvents, InitDropsWhatWaits)
{
    hw().fields[Field::interruptibility] = blocking::nmi;
    cpu.inject_nmi();
    cpu.note_nmi();
    cpu.set_debug_and_activity_reset();
    EXPECT_FALSE(window_wanted());
    EXPECT_EQ(injected(), 0U);
}

TEST_F(VmxEvents, AnInterruptedDeliveryIsRepeated)
{
    lay_out(reason::ept_violation, 0, 0x181);
    hw().next_exit[Field::vectoring_event] = 0x8000'00EF;
    backend::Exit const fault = cpu.run();
    EXPECT_EQ(fault.kind, ExitKind::nested_fault);
    EXPECT_TRUE(fault.during_event && fault.is_read && !fault.is_write);
    EXPECT_EQ(injected(), 0x8000'00EFU);
    lay_out(reason::nmi_window);
    hw().next_exit[Field::vectoring_event] = 0x8000'0B0E;
    hw().next_exit[Field::vectoring_error_code] = 6;
    (void)cpu.run();
    EXPECT_EQ(injected(), 0x8000'0B0EU);
    EXPECT_EQ(hw().at_entry[Field::entry_error_code], 6U);
}

TEST_F(VmxEvents, AFlushTakesTheViewThatWasChosenLast)
{
    shared.running_pointer = ept_pointer(shared.offered, 0x30'0000'0000);
    cpu.flush_nested();
    EXPECT_EQ(hw().fields[Field::ept_pointer], shared.running_pointer);
    cpu.single_step(true);
    shared.running_pointer = ept_pointer(shared.offered, 0x40'0000'0000);
    cpu.flush_nested();
    EXPECT_EQ(hw().fields[Field::ept_pointer], shared.stepping_pointer);
    cpu.single_step(false);
    EXPECT_EQ(hw().fields[Field::ept_pointer], shared.running_pointer);
}

TEST_F(VmxEvents, AnInterruptedNmiNeedsNmisOpen)
{
    lay_out(reason::external_interrupt);
    hw().next_exit[Field::vectoring_event] = nmi_event;
    hw().next_exit[Field::interruptibility] = blocking::nmi; // the delivery had begun
    (void)cpu.run();
    EXPECT_EQ(injected(), nmi_event); // the model refuses it while blocked
}

TEST_F(VmxEvents, AFaultingIretBlocksNmisAgain)
{
    lay_out(reason::ept_violation, 0, 0x182 | 1U << 12);
    (void)cpu.run();
    EXPECT_EQ(hw().read(Field::interruptibility), blocking::nmi);
}

TEST_F(VmxEvents, RealModePushesNoErrorCode)
{
    cpu.set_segment(Segment::cs, {0x0800, 0x9B, 0xFFFF, 0x8000});
    cpu.set_system_registers(0x10, 0, 0, 0);
    cpu.inject_general_protection();
    EXPECT_EQ(injected(), 0x8000'030DU);
}

TEST_F(VmxEvents, PageFaultBringsItsAddress)
{
    cpu.inject_page_fault(0xFFFF'8000'1234'5678, 2);
    EXPECT_EQ(injected(), 0x8000'0B0EU);
    EXPECT_EQ(hw().at_entry[Field::entry_error_code], 2U);
    EXPECT_EQ(hw().cr2, 0xFFFF'8000'1234'5678U);
}

TEST_F(VmxEvents, AnEventWakesAHaltedGuest)
{
    hw().fields[Field::activity] = 1;
    cpu.inject_general_protection();
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::activity], 0U);
}

TEST_F(VmxEvents, SetRipEndsAnInterruptShadow)
{
    hw().fields[Field::interruptibility] = blocking::sti | blocking::nmi;
    cpu.set_rip(0x40'0010);
    EXPECT_EQ(hw().read(Field::interruptibility), blocking::nmi);
}

TEST_F(VmxEvents, AStepIsInvisibleToTheGuest)
{
    hw().fields[Field::interruptibility] = blocking::sti;
    cpu.single_step(true);
    exit_with_exception(0x8000'0301, step_bit);
    EXPECT_EQ(hw().at_entry[Field::guest_rflags], 0x102U) << "TF set, IF clear";
    EXPECT_EQ(hw().at_entry[Field::ept_pointer], shared.stepping_pointer);
    EXPECT_EQ(hw().at_entry[Field::exception_bitmap], 0xFFFF'FFFFU);
    EXPECT_EQ(cpu.rflags(), 0x202U);
    EXPECT_EQ(injected(), 0U);
    EXPECT_EQ(hw().at_entry[Field::ept_pointer], shared.running_pointer);
    EXPECT_EQ(hw().at_entry[Field::exception_bitmap], 0U);
    EXPECT_EQ(hw().dr6_value, 0xFFFF'0FF0U);
}

TEST_F(VmxEvents, AGuestThatStepsItselfGetsItsTrap)
{
    cpu.set_rflags(0x302);
    cpu.single_step(true);
    exit_with_exception(0x8000'0301, step_bit);
    EXPECT_EQ(cpu.rflags(), 0x302U);
    EXPECT_EQ(hw().dr6_value & 0xFFFF, 0x4FF0U);
    EXPECT_EQ(injected(), 0x8000'0301U);
}

TEST_F(VmxEvents, AStepIsOneInstructionInSpiteOfBtf)
{
    hw().fields[Field::guest_debugctl] = 3; // LBR and BTF
    cpu.set_rflags(0x302);
    cpu.single_step(true);
    exit_with_exception(0x8000'0301, step_bit);
    EXPECT_EQ(hw().at_entry[Field::guest_debugctl], 1U);
    EXPECT_EQ(hw().read(Field::guest_debugctl), 3U);
    EXPECT_EQ(injected(), 0U) << "the guest asked for traps at branches";
}

TEST_F(VmxEvents, ABreakpointHitByTheStepIsTheGuests)
{
    cpu.single_step(true);
    exit_with_exception(0x8000'0301, step_bit | 2);
    EXPECT_EQ(hw().dr6_value & 0xFFFF, 0x0FF2U) << "breakpoint 1, without the step";
    EXPECT_EQ(injected(), 0x8000'0301U);
}

TEST_F(VmxEvents, AFaultOfTheSteppedInstructionIsTheGuests)
{
    cpu.single_step(true);
    exit_with_exception(0x8000'0B0E, 0x7FFF'1000, 6);
    EXPECT_EQ(hw().cr2, 0x7FFF'1000U);
    EXPECT_EQ(injected(), 0x8000'0B0EU);
    EXPECT_EQ(hw().at_entry[Field::entry_error_code], 6U);
}

TEST_F(VmxEvents, AnyExitClosesTheOpenView)
{
    for (std::uint32_t const why : {reason::external_interrupt, reason::ept_violation, reason::io}) {
        cpu.single_step(true);
        lay_out(why, 1, why == reason::ept_violation ? 0x182 : 0);
        (void)cpu.run();
        EXPECT_EQ(hw().read(Field::ept_pointer), shared.running_pointer) << why;
        EXPECT_EQ(cpu.rflags(), 0x202U) << why;
    }
}

TEST_F(VmxEvents, TheTimerCountsInItsOwnUnits)
{
    constexpr std::uint64_t unit = 128; // the model's timer counts every 2^7 ticks
    hw().time = 10'000;
    ASSERT_TRUE(cpu.arm_timer(unit * 50));
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::timer_value], 50U);
    EXPECT_NE(hw().at_entry[Field::pin_controls] & 1U << 6, 0U);
    hw().time += unit * 20; // another exit, and time in the guest
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::timer_value], 30U) << "exits do not put it off";
    hw().time += unit * 100;
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::timer_value], 0U);
    ASSERT_TRUE(cpu.arm_timer(0));
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::pin_controls] & 1U << 6, 0U);
}

TEST_F(VmxEvents, WithoutATimerNothingIsPromised)
{
    Capabilities offered = skylake();
    offered.pin &= ~(1ULL << 38);
    Rig other{offered};
    EXPECT_FALSE(other.cpu.arm_timer(1000));
}

TEST_F(VmxEvents, Intercepts)
{
    cpu.intercept_halt(true);
    cpu.intercept_interrupts(true);
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::primary_controls] & (1U << 7 | 1U << 10), 1U << 7 | 1U << 10) << "HLT, MWAIT";
    EXPECT_NE(hw().at_entry[Field::pin_controls] & 1, 0U);
    cpu.intercept_halt(false);
    cpu.intercept_interrupts(false);
    (void)injected();
    EXPECT_EQ(hw().at_entry[Field::primary_controls] & (1U << 7 | 1U << 10), 0U);
    EXPECT_EQ(hw().at_entry[Field::pin_controls] & 1, 0U);
}

} // namespace
} // namespace undercroft::vmx::testing
