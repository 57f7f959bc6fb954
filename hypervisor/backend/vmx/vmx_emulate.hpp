// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// BasicVmxCpu: instructions that always exit on Intel and that the backend answers itself.
#include "hypervisor/backend/vmx/unguarded_writes.hpp"
#include "hypervisor/backend/vmx/vmx_run.hpp"

namespace undercroft::vmx {

/// What the hardware says, as it would say it to this guest with no hypervisor below: several answers
/// follow CR4 and the mode, which are the sensor's own when it asks; VMX, SMX and unguarded writes cannot be offered.
template <typename Hw>
void BasicVmxCpu<Hw>::emulate_cpuid()
{
    constexpr std::uint32_t vmx = 1U << 5, smx = 1U << 6, osxsave = 1U << 27, ospke = 1U << 4, syscall = 1U << 11;
    auto& gpr = registers_.gpr;
    auto const leaf = static_cast<std::uint32_t>(gpr[0]), subleaf = static_cast<std::uint32_t>(gpr[1]);
    core::CpuidResult answer = hw_.cpuid(leaf, subleaf);
    hide_unguarded(leaf, subleaf, answer);
    std::uint64_t const cr4 = hw_.read(Field::guest_cr4);
    auto const set = [](std::uint32_t& word, std::uint32_t bit, bool on) { word = on ? word | bit : word & ~bit; };
    if (leaf == 1) {
        answer.ecx &= ~(vmx | smx);
        set(answer.ecx, osxsave, (cr4 & cr4_osxsave) != 0);
    } else if (leaf == 7 && subleaf == 0) {
        set(answer.ecx, ospke, (cr4 & cr4_pke) != 0);
    } else if (leaf == 0x8000'0001 && (hw_.read(Field::guest_cs_rights) & 1U << 13) == 0) {
        answer.edx &= ~syscall; // Intel has SYSCALL in 64-bit mode only
    }
    gpr[0] = answer.eax;
    gpr[3] = answer.ebx;
    gpr[1] = answer.ecx;
    gpr[2] = answer.edx;
    set_rip(next_rip());
}

/// The guest's XCR0 is the machine's: the sensor uses no extended state.
template <typename Hw>
void BasicVmxCpu<Hw>::emulate_xsetbv()
{
    auto const& gpr = registers_.gpr;
    std::uint64_t const value = gpr[2] << 32 | (gpr[0] & 0xFFFF'FFFF);
    if (!hw_.xsetbv(static_cast<std::uint32_t>(gpr[1]), value))
        return inject_general_protection();
    set_rip(next_rip());
}

/// Only MOVs that change a bit which VMX owns come here. SDM table 28-3.
template <typename Hw>
void BasicVmxCpu<Hw>::emulate_control_register()
{
    std::uint64_t const qualification = hw_.read(Field::qualification);
    std::uint64_t value = registers_.gpr[qualification >> 8 & 15];
    if ((hw_.read(Field::guest_cs_rights) & 1U << 13) == 0)
        value &= 0xFFFF'FFFF;
    bool const to_cr0 = (qualification & 0x3F) == 0; // else CR4, and a bit that this guest's CR4 does not have
    if (!to_cr0 || !move_to_cr0(value))
        return inject_general_protection();
    flush_guest_translations();
    set_rip(next_rip());
}

/// SDM volume 2B, "MOV - Move to/from Control Registers". False: #GP.
template <typename Hw>
bool BasicVmxCpu<Hw>::move_to_cr0(std::uint64_t value)
{
    constexpr std::uint64_t et = 1U << 4, defined = 0xE005'003F;
    std::uint64_t const cr4 = hw_.read(Field::guest_cr4);
    std::uint64_t efer = guest_efer();
    bool const paging_was_on = (hw_.read(Field::guest_cr0) & cr0_pg) != 0, paging_on = (value & cr0_pg) != 0;
    bool const code_long = (hw_.read(Field::guest_cs_rights) & 1U << 13) != 0;
    if (value >> 32 != 0 || (paging_on && (value & cr0_pe) == 0) || ((value & cr0_nw) != 0 && (value & cr0_cd) == 0))
        return false;
    value = (value & defined) | et;
    if (paging_on && !paging_was_on && (efer & efer_lme) != 0) {
        if ((cr4 & cr4_pae) == 0 || code_long)
            return false;
        efer |= efer_lma;
    } else if (!paging_on && paging_was_on) {
        if (((efer & efer_lma) != 0 && code_long) || (cr4 & cr4_pcide) != 0)
            return false;
        efer &= ~efer_lma;
    }
    if (paging_on && (cr4 & cr4_pae) != 0 && (efer & efer_lma) == 0 && !load_pdptes(hw_.read(Field::guest_cr3)))
        return false;
    set_paging_mode(value, paging().cr4, efer);
    // Entries leave CD and NW as they are (SDM 27.3.2.1).
    constexpr std::uint64_t cache_bits = cr0_cd | cr0_nw;
    hw_.set_cr0((hw_.cr0() & ~cache_bits) | (value & cache_bits));
    return true;
}

} // namespace undercroft::vmx
