// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Plays core/tests/exit_script.hpp on the SVM backend, over a model that checks what VMRUN would refuse
// (AMD APM volume 2, 15.5.1) and leaves the guest with the exit that the test has laid out.
#include "hypervisor/backend/svm/capabilities.hpp"
#include "hypervisor/backend/svm/hardware.hpp"
#include "hypervisor/backend/svm/svm_cpu.hpp"
#include "hypervisor/backend/tests/recorded.hpp"
#include "hypervisor/core/tests/exit_player.hpp"

namespace undercroft::svm {
namespace {

struct LaidOut {
    std::uint64_t code = 0, info1 = 0, info2 = 0, interrupted = 0;
};
LaidOut laid_out;
std::uint64_t debug_control_at_entry = 0;

void check_entry(Vmcb const& vmcb)
{
    constexpr std::uint64_t cr0_cd = 1U << 30, cr0_nw = 1U << 29, paging = 1U << 31, pe = 1;
    constexpr std::uint64_t lme = 1U << 8, lma = 1U << 10, pae = 1U << 5;
    EXPECT_NE(vmcb.efer & efer_svme, 0U);
    EXPECT_FALSE((vmcb.cr0 & cr0_cd) == 0 && (vmcb.cr0 & cr0_nw) != 0);
    EXPECT_EQ(vmcb.cr0 >> 32, 0U);
    if ((vmcb.efer & lme) != 0 && (vmcb.cr0 & paging) != 0) {
        EXPECT_TRUE((vmcb.cr4 & pae) != 0 && (vmcb.cr0 & pe) != 0 && (vmcb.efer & lma) != 0);
        EXPECT_NE(vmcb.cs.attributes & 0x600, 0x600) << "L and D";
    }
    EXPECT_NE(vmcb.intercept_misc2 & misc2::vmrun, 0U);
    EXPECT_NE(vmcb.asid, 0U);
    EXPECT_NE(vmcb.nested_control & 1, 0U);
    if ((vmcb.event_injection & event::valid) != 0) {
        std::uint64_t const type = vmcb.event_injection >> 8 & 7, vector = vmcb.event_injection & 0xFF;
        EXPECT_TRUE(type == 0 || type == 2 || type == 3 || type == 4);
        EXPECT_TRUE(type != 3 || (vector != 2 && vector < 32));
    }
}

} // namespace

void enter_guest(std::uint64_t* /*gpr*/, Vmcb* vmcb)
{
    check_entry(*vmcb);
    debug_control_at_entry = debug_control();
    vmcb->exit_code = laid_out.code;
    vmcb->exit_info1 = laid_out.info1;
    vmcb->exit_info2 = laid_out.info2;
    vmcb->exit_interrupt_info = laid_out.interrupted;
}
void save_hidden_state(Vmcb*) {}
void load_hidden_state(Vmcb*) {}
void take_pending_nmi() {}
void clear_breakpoints() {}
namespace {
std::uint64_t debug_control_now = 0;
}
std::uint64_t debug_control()
{
    return debug_control_now;
}
void set_debug_control(std::uint64_t value)
{
    debug_control_now = value;
}

namespace {

struct Rig {
    Rig()
    {
        shared.iopm = shared.msrpm = bitmaps;
        cpu.initialise(&vmcb, bitmaps, &shared);
        vmcb.efer = efer_svme; // as capture() leaves it
    }
    Rig(Rig const&) = delete;
    Rig& operator=(Rig const&) = delete;

    /// From the contract's description to what the manual says the processor reports.
    void next(backend::Exit const& exit, std::uint64_t /*length*/)
    {
        using enum backend::ExitKind;
        switch (exit.kind) {
        case nested_fault:
            laid_out = {0x400,
                        (exit.is_write ? 2U : 0U) | (exit.is_fetch ? 16U : 0U) |
                            (exit.by_page_walk ? 1ULL << 33 : 1ULL << 32),
                        exit.gpa.value, exit.during_event ? 0x8000'00EFU : 0U};
            break;
        case port:
            laid_out = {0x7B,
                        (exit.is_write ? 0U : 1U) | (exit.string ? 4U : 0U) | (exit.rep ? 8U : 0U) |
                            std::uint64_t{exit.width} << 4 | std::uint64_t{exit.port} << 16,
                        exit.next_rip, 0};
            break;
        case msr_read:
        case msr_write:
            laid_out = {0x7C, exit.kind == msr_write ? 1U : 0U, 0, 0};
            break;
        default:
            laid_out = {plain_code(exit.kind), 0, 0, 0};
            break;
        }
    }
    static std::uint64_t plain_code(backend::ExitKind kind)
    {
        using enum backend::ExitKind;
        switch (kind) {
        case halt:
            return 0x78;
        case interrupt:
            return 0x60;
        case nmi:
            return 0x61;
        case init:
            return 0x63;
        case hypercall:
            return 0x81;
        case virtualisation:
            return 0x80;
        case debug_trap:
            return 0x41;
        case protection_fault:
            return 0x4D;
        case shutdown:
            return 0x7F;
        default:
            return 0x8A; // MONITOR: not intercepted
        }
    }

    alignas(4096) std::uint8_t bitmaps[iopm_bytes] = {};
    alignas(4096) Vmcb vmcb{};
    SharedState shared;
    backend::testing::Recorded<SvmCpu> cpu;
};

backend::Exit run(Rig& rig, LaidOut const& exit)
{
    laid_out = exit;
    rig.cpu.set_guest_efer(0); // sets SVME, as a CPU that was captured has it
    return rig.cpu.run();
}

/// APM volume 2, 15.7.2 and 15.20; 060h: V_IRQ bit 8, V_IGN_TPR bit 20, vector bits 39-32; VINTR intercept: 00Ch bit 4.
TEST(SvmEvents, AnInterruptedDeliveryIsRepeated)
{
    Rig rig;
    backend::Exit const fault = run(rig, {0x400, 2 | 1ULL << 32, 0x7000, 0x8000'0B0E | 6ULL << 32});
    EXPECT_EQ(fault.kind, backend::ExitKind::nested_fault);
    EXPECT_TRUE(fault.during_event && fault.is_write && !fault.is_read);
    EXPECT_EQ(rig.vmcb.event_injection, 0x8000'0B0E | 6ULL << 32) << "#PF with its error code";
    (void)run(rig, {0x400, 1ULL << 32, 0x7000, 0x8000'00EF});
    EXPECT_EQ(rig.vmcb.event_injection, 0x8000'00EFU) << "an external interrupt as processors report it";
    (void)run(rig, {0x400, 1ULL << 32, 0x7000, 0x8000'0480});
    EXPECT_EQ(rig.vmcb.event_injection, 0U) << "INT 80h is executed again";
}

TEST(SvmEvents, AnInterruptThatQemuCallsAnExceptionBecomesAVirtualOne)
{
    Rig rig;
    EXPECT_TRUE(rig.cpu.exit_when_interruptible());
    EXPECT_NE(rig.vmcb.intercept_misc1 & 1U << 4, 0U);
    (void)run(rig, {0x400, 1ULL << 32, 0x7000, 0x8000'0000 | 3U << 8 | 0xEC});
    EXPECT_EQ(rig.vmcb.event_injection, 0U) << "VMRUN refuses exceptions above 31";
    EXPECT_EQ(rig.vmcb.virtual_interrupt & 0xFF'0010'0100, 0xEC'0010'0100U);
    EXPECT_EQ(rig.vmcb.intercept_misc1 & 1U << 4, 0U) << "it is to be delivered, not to exit";
    EXPECT_TRUE(rig.cpu.exit_when_interruptible());
    EXPECT_EQ(rig.vmcb.intercept_misc1 & 1U << 4, 0U) << "not before it is delivered";
}

/// V_INTR_MASKING: 060h bit 24; IRET intercept: 00Ch bit 20, exit 74h.
TEST(SvmEvents, PhysicalInterruptsWaitUntilTheVirtualOneIsThrough)
{
    constexpr std::uint64_t v_irq = 1U << 8, masking = 1U << 24;
    constexpr std::uint32_t iret = 1U << 20;
    Rig rig;
    (void)run(rig, {0x400, 1ULL << 32, 0x7000, 0x8000'0000 | 3U << 8 | 0xEC});
    EXPECT_EQ(rig.vmcb.virtual_interrupt & (v_irq | masking), v_irq | masking);
    EXPECT_NE(rig.vmcb.intercept_misc1 & iret, 0U);
    (void)run(rig, {0x61, 0, 0, 0});
    EXPECT_EQ(rig.vmcb.virtual_interrupt & (v_irq | masking), v_irq | masking) << "another exit came first";
    rig.vmcb.virtual_interrupt &= ~v_irq; // the processor delivers it
    EXPECT_EQ(run(rig, {0x74, 0, 0, 0}).kind, backend::ExitKind::interruptible);
    EXPECT_EQ(rig.vmcb.virtual_interrupt & (v_irq | masking), 0U);
    EXPECT_EQ(rig.vmcb.intercept_misc1 & iret, 0U);
}

TEST(SvmEvents, TheEndOfAHandlerIsAWindowToo)
{
    Rig rig;
    EXPECT_TRUE(rig.cpu.exit_when_interruptible());
    EXPECT_EQ(run(rig, {0x74, 0, 0, 0}).kind, backend::ExitKind::interruptible);
    EXPECT_EQ(rig.vmcb.virtual_interrupt & 1U << 8, 0U);
    EXPECT_EQ(rig.vmcb.intercept_misc1 & (1U << 4 | 1U << 20), 0U) << "once";
}

TEST(SvmEvents, TheWindowExitsOnce)
{
    Rig rig;
    EXPECT_TRUE(rig.cpu.exit_when_interruptible());
    EXPECT_NE(rig.vmcb.virtual_interrupt & 1U << 8, 0U);
    EXPECT_EQ(run(rig, {0x64, 0, 0, 0}).kind, backend::ExitKind::interruptible);
    EXPECT_EQ(rig.vmcb.virtual_interrupt & 1U << 8, 0U);
    EXPECT_EQ(rig.vmcb.intercept_misc1 & 1U << 4, 0U);
}

TEST(SvmView, AFlushTakesTheViewThatWasChosenLast)
{
    Rig rig;
    rig.shared.nested_root = 0x1234'5000;
    EXPECT_NE(rig.vmcb.nested_cr3, 0x1234'5000U);
    rig.cpu.flush_nested();
    EXPECT_EQ(rig.vmcb.nested_cr3, 0x1234'5000U);
    rig.shared.open_root = 0x2000;
    rig.cpu.single_step(true);
    rig.shared.nested_root = 0x3000;
    rig.cpu.flush_nested();
    EXPECT_EQ(rig.vmcb.nested_cr3, 0x2000U) << "the stepped instruction keeps its view";
    rig.cpu.single_step(false);
    EXPECT_EQ(rig.vmcb.nested_cr3, 0x3000U);
}

TEST(SvmStep, IsOneInstructionInSpiteOfBtf)
{
    Rig rig;
    debug_control_now = 3; // LBR and BTF
    rig.cpu.set_rflags(0x302);
    rig.cpu.single_step(true);
    rig.next({.kind = backend::ExitKind::debug_trap}, 0);
    (void)rig.cpu.run();
    EXPECT_EQ(debug_control_at_entry, 1U);
    EXPECT_EQ(debug_control_now, 3U);
    EXPECT_EQ(rig.vmcb.event_injection, 0U) << "the guest asked for traps at branches";
    debug_control_now = 0;
    rig.cpu.single_step(true);
    (void)rig.cpu.run();
    EXPECT_EQ(rig.vmcb.event_injection & 0xFF, 1U) << "without it the trap is the guest's own";
}

// APM volume 3, E.4.17: EBX bits 5:0 are the position of the encryption bit, 11:6 by how many bits addresses get
// shorter.
TEST(SvmMemory, KeysAreNoAddressBits)
{
    constexpr std::uint64_t on = 1U << 23;
    core::CpuidResult const zen1{3, 47 | 5U << 6, 0, 0}, zen3{3, 51 | 5U << 6, 0, 0};
    EXPECT_EQ(usable_address_bits(0x3030, zen1, 0), 48U) << "not switched on";
    EXPECT_EQ(usable_address_bits(0x3030, zen1, on), 43U);
    EXPECT_EQ(usable_address_bits(0x3030, {3, 40, 0, 0}, on), 40U);
    EXPECT_EQ(usable_address_bits(0x3034, zen3, on), 47U);
    EXPECT_EQ(usable_address_bits(0x3030, {}, on), 48U) << "SYSCFG bit 23 of a processor without encryption";
}

} // namespace
} // namespace undercroft::svm

namespace undercroft::core::testing {
namespace {

class SvmExitScript : public ::testing::TestWithParam<Scenario> {};

TEST_P(SvmExitScript, Holds)
{
    play_scenario<svm::Rig>(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Svm, SvmExitScript, ::testing::ValuesIn(scenarios_without(backend::ExitKind::timer)),
                         test_name);

} // namespace
} // namespace undercroft::core::testing
