// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The VMX backend on a model: capture, what the guest sees of its own registers, instructions that always exit.
#include <gtest/gtest.h>

#include "hypervisor/backend/tests/vmx_rig.hpp"

namespace undercroft::vmx::testing {
namespace {

using backend::ExitKind;
using backend::Segment;

constexpr std::uint32_t general_protection = 0x8000'0B0D, undefined_opcode = 0x8000'0306;

struct Vmx : ::testing::Test, Rig {
    [[nodiscard]] std::uint32_t injected()
    {
        lay_out(reason::external_interrupt);
        (void)cpu.run();
        return static_cast<std::uint32_t>(hw().at_entry[Field::entry_event]);
    }
    /// MOV to a control register, from RBX.
    void mov_to(unsigned number, std::uint64_t value)
    {
        cpu.registers().gpr[3] = value;
        lay_out(reason::control_register, 3, number | 3U << 8);
        EXPECT_EQ(cpu.run().kind, ExitKind::handled);
    }
};

TEST_F(Vmx, CaptureLocksTheFeatureAndHidesWhatVmxAsksFor)
{
    EXPECT_EQ(hw().feature_control, 5U);
    EXPECT_TRUE(hw().on);
    EXPECT_EQ(cpu.paging().cr0, 0x8000'0013U) << "as the firmware had it, without NE";
    EXPECT_EQ(cpu.paging().cr4, 0x628U) << "without VMXE";
    EXPECT_EQ(cpu.rip(), 0x40'0000U);
    EXPECT_EQ(cpu.registers().gpr[4], 0x7'F000U);
    EXPECT_TRUE(cpu.paging().cs_long);
    EXPECT_EQ(hw().read(Field::guest_cr3), 0x10'0000U);
    EXPECT_EQ(hw().read(Field::host_rip), 0x1234'5000U);
    EXPECT_EQ(hw().read(Field::host_cr3), 0x5000U);
    EXPECT_EQ(cpu.segment(Segment::ldtr).attributes & 0x80, 0) << "unusable";
    lay_out(reason::external_interrupt);
    EXPECT_EQ(cpu.run().kind, ExitKind::interrupt); // and the model accepts the state
}

TEST_F(Vmx, FirmwareThatSwitchedItOffIsRespected)
{
    Rig other;
    other.hw().feature_control = 1;
    EXPECT_EQ(other.cpu.capture({}), boot::StartResult::virtualisation_disabled);
}

TEST_F(Vmx, CpuidTellsNothingOfUs)
{
    hw().cpuid_answers[{1, 7}] = {0x50654, 0x800, 0xFFFF'FFFF & ~(1U << 27), 0xBFEB'FBFF};
    cpu.registers().gpr[0] = 0xFFFF'FFFF'0000'0001;
    cpu.registers().gpr[1] = 7;
    lay_out(reason::cpuid, 2);
    EXPECT_EQ(cpu.run().kind, ExitKind::cpuid);
    auto const& gpr = cpu.registers().gpr;
    EXPECT_EQ(gpr[0], 0x50654U);
    EXPECT_EQ(gpr[1], 0xFFFF'FFFFU & ~(1U << 5 | 1U << 6 | 1U << 27 | 1U << 2 | 1U << 4)) << "VMX, SMX, OSXSAVE, DS";
    EXPECT_EQ(gpr[2], 0xBFEB'FBFFU & ~(1U << 21));
    EXPECT_EQ(gpr[3], 0x800U);
    EXPECT_EQ(cpu.rip(), 0x40'0002U);
}

TEST_F(Vmx, CpuidOffersNothingThatWritesMemoryByItself)
{
    auto& answers = hw().cpuid_answers;
    for (std::uint32_t const leaf : {1U, 6U, 7U, 0x14U, 0x23U})
        answers[{leaf, 0}] = {~0U, ~0U, ~0U, ~0U};
    answers[{0xD, 1}] = answers[{0xD, 8}] = answers[{0x14, 1}] = answers[{0x23, 4}] = answers[{0x23, 5}] =
        answers[{1, 0}];
    auto const ask = [&](std::uint32_t leaf, std::uint32_t subleaf) {
        cpu.registers().gpr[0] = leaf;
        cpu.registers().gpr[1] = subleaf;
        lay_out(reason::cpuid, 2);
        (void)cpu.run();
        return cpu.registers();
    };
    // SDM volume 2A, CPUID: DS (leaf 1 EDX 21), DTES64 and DS-CPL (ECX 2 and 4), processor trace (leaf 7 EBX 25, leaf
    // 14h, and component 8 of the supervisor state in leaf Dh).
    EXPECT_EQ(ask(1, 0).gpr[2], ~0U & ~(1U << 21));
    EXPECT_EQ(ask(1, 0).gpr[1] & 0x14, 0U);
    EXPECT_EQ(ask(7, 0).gpr[3], ~0U & ~(1U << 25));
    EXPECT_EQ(ask(0xD, 1).gpr[1], ~0U & ~(1U << 8));
    // Hardware feedback interface and thread director (leaf 6), PEBS of the architecture (leaf 23h).
    EXPECT_EQ(ask(6, 0).gpr[0], ~0U & ~(1U << 19 | 1U << 23));
    EXPECT_EQ(ask(6, 0).gpr[2], 0U);
    EXPECT_EQ(ask(0x23, 0).gpr[0], ~0U & ~(3U << 4));
    for (auto const& [leaf, subleaf] : {std::pair{0xDU, 8U}, std::pair{0x14U, 0U}, std::pair{0x14U, 1U},
                                        std::pair{0x23U, 4U}, std::pair{0x23U, 5U}}) {
        backend::Registers const got = ask(leaf, subleaf);
        EXPECT_EQ(got.gpr[0] | got.gpr[1] | got.gpr[2] | got.gpr[3], 0U) << leaf << " " << subleaf;
    }
}

TEST_F(Vmx, UnguardedWritesOfTheFirmwareEndBeforeVmxon)
{
    Rig other;
    other.hw().on = false;
    other.hw().cpuid_answers[{0, 0}] = {0x16, 0, 0, 0};
    other.hw().cpuid_answers[{7, 0}] = {0, 1U << 25, 0, 0};
    other.hw().cpuid_answers[{1, 0}] = {0, 0, 0, 1U << 21};
    other.hw().cpuid_answers[{6, 0}] = {1U << 19, 0, 0, 0};
    other.hw().msrs = {{0x570, 0x2001}, {0x3F1, 1}, {0x1A0, 1U << 11}, {0x17D1, 1}};
    EXPECT_EQ(other.cpu.capture({}), boot::StartResult::ok);
    EXPECT_EQ(other.hw().msrs[0x570], 0U) << "IA32_RTIT_CTL";
    EXPECT_EQ(other.hw().msrs[0x3F1], 0U) << "IA32_PEBS_ENABLE";
    EXPECT_EQ(other.hw().msrs[0x17D1], 0U) << "IA32_HW_FEEDBACK_CONFIG";
    other.hw().on = false;
    other.hw().msrs = {{0x570, 1}, {0x1A0, 1U << 12}, {0x17D1, 0}}; // no PEBS: to write its MSR would be #GP
    EXPECT_EQ(other.cpu.capture({}), boot::StartResult::ok);
}

TEST(VmxUnguardedWrites, MsrsThatTheGuestDoesNotHave)
{
    for (std::uint32_t const number : {0x3F1U, 0x3F4U, 0x3F5U, 0x17D0U, 0x17D1U, 0x17D4U, 0x560U, 0x561U, 0x570U,
                                       0x571U, 0x572U, 0x580U, 0x583U, 0x587U, 0x600U})
        EXPECT_TRUE(is_unguarded_msr(number)) << std::hex << number;
    for (std::uint32_t const number : {0x3F0U, 0x3F2U, 0x3F3U, 0x3F6U, 0x17CFU, 0x17D5U, 0x38FU, 0x55FU, 0x562U, 0x56FU,
                                       0x573U, 0x57FU, 0x588U, 0x5FFU, 0x601U})
        EXPECT_FALSE(is_unguarded_msr(number)) << std::hex << number;
}

TEST_F(Vmx, CpuidFollowsTheGuestsOwnCr4AndMode)
{
    hw().cpuid_answers[{1, 0}] = {};
    hw().cpuid_answers[{7, 0}] = {0, 0, 0, 0};
    hw().cpuid_answers[{0x8000'0001, 0}] = {0, 0, 0, 1U << 11 | 1U << 20};
    auto const ask = [&](std::uint32_t leaf) {
        cpu.registers().gpr[0] = leaf;
        cpu.registers().gpr[1] = 0;
        lay_out(reason::cpuid, 2);
        (void)cpu.run();
        return cpu.registers();
    };
    cpu.set_system_registers(0x8000'0033, 0x1000, 0x20 | 1U << 18 | 1U << 22, 0xD00);
    EXPECT_EQ(ask(1).gpr[1], 1U << 27);
    EXPECT_EQ(ask(7).gpr[1], 1U << 4);
    EXPECT_EQ(ask(0x8000'0001).gpr[2], 1U << 11 | 1U << 20);
    cpu.set_segment(Segment::cs, {0x10, 0xC9B, 0xFFFF'FFFF, 0}); // compatibility mode
    EXPECT_EQ(ask(0x8000'0001).gpr[2], 1U << 20) << "Intel's SYSCALL exists in 64-bit mode only";
}

TEST_F(Vmx, Cr4BitsOfVirtualisationAreReserved)
{
    for (std::uint64_t const bit : {13U, 14U}) {
        mov_to(4, 0x628 | 1ULL << bit);
        EXPECT_EQ(cpu.rip(), 0x40'0000U);
        EXPECT_EQ(injected(), general_protection);
    }
    EXPECT_EQ(cpu.paging().cr4, 0x628U);
    EXPECT_NE(hw().read(Field::cr4_mask) & 1U << 13, 0U);
}

TEST_F(Vmx, NumericErrorIsTheGuestsToSet)
{
    mov_to(0, 0x8000'0033);
    EXPECT_EQ(cpu.paging().cr0, 0x8000'0033U);
    mov_to(0, 0x8000'0013);
    EXPECT_EQ(cpu.paging().cr0, 0x8000'0013U);
    EXPECT_NE(hw().read(Field::guest_cr0) & 0x20, 0U) << "VMX needs it set";
    EXPECT_EQ(cpu.rip(), 0x40'0006U);
    EXPECT_EQ(hw().invalidations.back(), (std::array<std::uint64_t, 3>{0xF, 1, 1}));
}

TEST_F(Vmx, LongModeSwitchesOnWithPaging)
{
    cpu.set_segment(Segment::cs, {0x10, 0xC9B, 0xFFFF'FFFF, 0});
    cpu.set_system_registers(0x11, 0x1000, 0x20, 0x100); // protected mode, LME set, PAE set
    mov_to(0, 0x8000'0031);
    EXPECT_EQ(cpu.guest_efer(), 0x500U);
    EXPECT_NE(hw().read(Field::entry_controls) & 1U << 9, 0U);
    mov_to(0, 0x11);
    EXPECT_EQ(cpu.guest_efer(), 0x100U);
    EXPECT_EQ(hw().read(Field::entry_controls) & 1U << 9, 0U);
}

TEST_F(Vmx, PaeEntriesAreLoadedWithPaging)
{
    cpu.set_segment(Segment::cs, {0x10, 0xC9B, 0xFFFF'FFFF, 0});
    cpu.set_system_registers(0x11, 0x3020, 0x20, 0);
    for (unsigned i = 0; i < 4; ++i)
        ram.put<std::uint64_t>(0x3020 + 8 * i, i == 2 ? 0 : 0x5001 + 0x1000 * i);
    mov_to(0, 0x8000'0031);
    EXPECT_EQ(hw().read(Field::guest_pdpte0), 0x5001U);
    EXPECT_EQ(hw().read(at(Field::guest_pdpte0, 2)), 0U);
    EXPECT_EQ(hw().read(at(Field::guest_pdpte0, 3)), 0x8001U);
    mov_to(0, 0x11);
    ram.put<std::uint64_t>(0x3020, 0x5007); // U/S and R/W are reserved here
    mov_to(0, 0x8000'0031);
    EXPECT_EQ(cpu.paging().cr0, 0x11U);
    EXPECT_EQ(injected(), general_protection);
}

TEST_F(Vmx, ImpossibleCr0IsRefused)
{
    struct {
        char const* what;
        std::uint64_t value;
    } const rows[] = {{"PG without PE", 0x8000'0020},
                      {"NW without CD", 0xA000'0033},
                      {"upper half", 0x1'8000'0033},
                      {"paging off in 64-bit code", 0x33}};
    for (auto const& row : rows) {
        mov_to(0, row.value);
        EXPECT_EQ(cpu.paging().cr0, 0x8000'0013U) << row.what;
        EXPECT_EQ(injected(), general_protection) << row.what;
    }
}

TEST_F(Vmx, CacheControlReachesTheProcessor)
{
    mov_to(0, 0xC000'0033); // CD: VM entries do not load it
    EXPECT_EQ(hw().cr0_value & 0x6000'0000, 0x4000'0000U);
    mov_to(0, 0x8000'0013);
    EXPECT_EQ(hw().cr0_value & 0x6000'0000, 0U);
}

TEST_F(Vmx, Xsetbv)
{
    auto& gpr = cpu.registers().gpr;
    gpr[0] = 0xFFFF'FFFF'0000'00E7;
    gpr[1] = 0;
    gpr[2] = 0xFFFF'FFFF'0000'0002;
    lay_out(reason::xsetbv, 3);
    EXPECT_EQ(cpu.run().kind, ExitKind::handled);
    EXPECT_EQ(hw().xcr0, 0x2'0000'00E7U);
    EXPECT_EQ(cpu.rip(), 0x40'0003U);
    gpr[0] = 6; // without x87
    (void)cpu.run();
    EXPECT_EQ(cpu.rip(), 0x40'0003U);
    EXPECT_EQ(injected(), general_protection);
}

TEST_F(Vmx, InvdDropsNothingOfTheSensors)
{
    lay_out(reason::invd, 2);
    EXPECT_EQ(cpu.run().kind, ExitKind::handled);
    EXPECT_EQ(hw().cache_writebacks, 1U);
    EXPECT_EQ(cpu.rip(), 0x40'0002U);
}

TEST_F(Vmx, VirtualisationInstructions)
{
    for (std::uint32_t const why : {11U, 19U, 20U, 21U, 22U, 23U, 24U, 25U, 26U, 27U, 50U, 53U}) {
        lay_out(why, 3);
        EXPECT_EQ(cpu.run().kind, ExitKind::virtualisation) << why;
    }
    cpu.inject_undefined();
    EXPECT_EQ(injected(), undefined_opcode);
}

TEST_F(Vmx, NextRipWrapsOutsideLongMode)
{
    cpu.set_segment(Segment::cs, {0x10, 0xC9B, 0xFFFF'FFFF, 0});
    cpu.set_system_registers(0x33, 0, 0, 0);
    cpu.set_rip(0xFFFF'FFFE);
    lay_out(reason::rdmsr, 2);
    EXPECT_EQ(cpu.run().next_rip, 0U);
}

TEST_F(Vmx, NestedFaultsAreDescribed)
{
    struct {
        std::uint64_t qualification;
        bool write, fetch, walk;
    } const rows[] = {
        {0x181, false, false, false}, // read of the page itself
        {0x182, true, false, false},  {0x184, false, true, false},
        {0x81, false, false, true}, // read of a paging-structure entry
        {0x83, true, false, true},  // accessed and dirty flags: also a write
        {0x01, false, false, false} // no linear address: the PDPTEs at MOV CR3
    };
    for (auto const& row : rows) {
        lay_out(reason::ept_violation, 0, row.qualification);
        hw().next_exit[Field::guest_physical_address] = 0xFEBF'0038;
        backend::Exit const exit = cpu.run();
        EXPECT_EQ(exit.kind, ExitKind::nested_fault);
        EXPECT_EQ(exit.gpa.value, 0xFEBF'0038U);
        EXPECT_EQ(exit.is_write, row.write) << std::hex << row.qualification;
        EXPECT_EQ(exit.is_fetch, row.fetch);
        EXPECT_EQ(exit.by_page_walk, row.walk);
    }
}

TEST_F(Vmx, TscIsOffset)
{
    hw().time = 5000;
    cpu.set_guest_tsc(100);
    EXPECT_EQ(hw().read(Field::tsc_offset), std::uint64_t{100} - 5000);
    EXPECT_EQ(cpu.tsc_offset() + hw().time, 100U);
}

TEST_F(Vmx, FlushesReachTheProcessor)
{
    hw().invalidations.clear();
    cpu.flush_nested();
    EXPECT_EQ(hw().invalidations, (std::vector<std::array<std::uint64_t, 3>>{{0xE, 2, 0}}));
    Capabilities single = skylake();
    single.ept_vpid &= ~(1ULL << 26); // no all-context INVEPT
    Rig other{single};
    other.hw().invalidations.clear();
    other.cpu.flush_nested();
    ASSERT_EQ(other.hw().invalidations.size(), 2U) << "both views";
    EXPECT_EQ(other.hw().invalidations[0], (std::array<std::uint64_t, 3>{0xE, 1, other.shared.running_pointer}));
    EXPECT_EQ(other.hw().invalidations[1], (std::array<std::uint64_t, 3>{0xE, 1, other.shared.stepping_pointer}));
}

} // namespace
} // namespace undercroft::vmx::testing
