// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Virtual machine control block: AMD64 Architecture Programmer's Manual volume 2 (24593),
// appendix B, tables B-1 (control area) and B-2 (state save area).
#include <cstddef>
#include <cstdint>

namespace undercroft::svm {

struct VmcbSegment {
    std::uint16_t selector, attributes;
    std::uint32_t limit;
    std::uint64_t base;
};
static_assert(sizeof(VmcbSegment) == 16);

struct Vmcb {
    // Control area
    std::uint32_t intercept_cr;         // 000h
    std::uint32_t intercept_dr;         // 004h
    std::uint32_t intercept_exceptions; // 008h
    std::uint32_t intercept_misc1;      // 00Ch
    std::uint32_t intercept_misc2;      // 010h
    std::uint32_t intercept_misc3;      // 014h
    std::uint8_t reserved_018[0x024];
    std::uint16_t pause_filter_threshold; // 03Ch
    std::uint16_t pause_filter_count;     // 03Eh
    std::uint64_t iopm_base;              // 040h
    std::uint64_t msrpm_base;             // 048h
    std::uint64_t tsc_offset;             // 050h
    std::uint32_t asid;                   // 058h
    std::uint8_t tlb_control;             // 05Ch
    std::uint8_t reserved_05d[3];
    std::uint64_t virtual_interrupt;        // 060h
    std::uint64_t interrupt_shadow;         // 068h
    std::uint64_t exit_code;                // 070h
    std::uint64_t exit_info1;               // 078h
    std::uint64_t exit_info2;               // 080h
    std::uint64_t exit_interrupt_info;      // 088h
    std::uint64_t nested_control;           // 090h
    std::uint64_t avic_bar;                 // 098h
    std::uint64_t ghcb;                     // 0A0h
    std::uint64_t event_injection;          // 0A8h
    std::uint64_t nested_cr3;               // 0B0h
    std::uint64_t lbr_control;              // 0B8h
    std::uint32_t clean_bits, reserved_0c4; // 0C0h
    std::uint64_t next_rip;                 // 0C8h
    std::uint8_t fetched_count;             // 0D0h
    std::uint8_t fetched_bytes[15];         // 0D1h
    std::uint8_t reserved_0e0[0x400 - 0x0E0];
    // State save area
    VmcbSegment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; // 400h
    std::uint8_t reserved_4a0[0x4CB - 0x4A0];
    std::uint8_t cpl; // 4CBh
    std::uint32_t reserved_4cc;
    std::uint64_t efer; // 4D0h
    std::uint8_t reserved_4d8[0x548 - 0x4D8];
    std::uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip; // 548h
    std::uint8_t reserved_580[0x5D8 - 0x580];
    std::uint64_t rsp; // 5D8h
    std::uint8_t reserved_5e0[0x5F8 - 0x5E0];
    std::uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2; // 5F8h
    std::uint8_t reserved_648[0x668 - 0x648];
    std::uint64_t pat;                                                                                     // 668h
    std::uint64_t debug_control, last_branch_from, last_branch_to, last_exception_from, last_exception_to; // 670h
    std::uint8_t reserved_698[0x1000 - 0x698];
};
static_assert(offsetof(Vmcb, pause_filter_threshold) == 0x03C);
static_assert(offsetof(Vmcb, iopm_base) == 0x040);
static_assert(offsetof(Vmcb, asid) == 0x058);
static_assert(offsetof(Vmcb, tlb_control) == 0x05C);
static_assert(offsetof(Vmcb, interrupt_shadow) == 0x068);
static_assert(offsetof(Vmcb, exit_code) == 0x070);
static_assert(offsetof(Vmcb, nested_control) == 0x090);
static_assert(offsetof(Vmcb, event_injection) == 0x0A8);
static_assert(offsetof(Vmcb, nested_cr3) == 0x0B0);
static_assert(offsetof(Vmcb, clean_bits) == 0x0C0);
static_assert(offsetof(Vmcb, next_rip) == 0x0C8);
static_assert(offsetof(Vmcb, fetched_bytes) == 0x0D1);
static_assert(offsetof(Vmcb, es) == 0x400);
static_assert(offsetof(Vmcb, fs) == 0x440);
static_assert(offsetof(Vmcb, gdtr) == 0x460);
static_assert(offsetof(Vmcb, tr) == 0x490);
static_assert(offsetof(Vmcb, cpl) == 0x4CB);
static_assert(offsetof(Vmcb, efer) == 0x4D0);
static_assert(offsetof(Vmcb, cr4) == 0x548);
static_assert(offsetof(Vmcb, rip) == 0x578);
static_assert(offsetof(Vmcb, rsp) == 0x5D8);
static_assert(offsetof(Vmcb, rax) == 0x5F8);
static_assert(offsetof(Vmcb, cr2) == 0x640);
static_assert(offsetof(Vmcb, pat) == 0x668);
static_assert(sizeof(Vmcb) == 0x1000);

// Intercepts, table B-1.
namespace misc1 {
inline constexpr std::uint32_t interrupt = 1U << 0, nmi = 1U << 1, smi = 1U << 2, init = 1U << 3, hlt = 1U << 24,
                               virtual_interrupt = 1U << 4, iret = 1U << 20, invlpga = 1U << 26, ioio = 1U << 27,
                               msr = 1U << 28, task_switch = 1U << 29, shutdown = 1U << 31;
}
namespace misc2 {
inline constexpr std::uint32_t vmrun = 1U << 0, vmmcall = 1U << 1, vmload = 1U << 2, vmsave = 1U << 3, stgi = 1U << 4,
                               clgi = 1U << 5, skinit = 1U << 6, mwait = 1U << 11, mwait_conditional = 1U << 12;
}
inline constexpr std::uint64_t nested_paging_enable = 1;
enum class TlbControl : std::uint8_t { none = 0, flush_all = 1, flush_asid = 3 };

// Exit codes, appendix C.
namespace exit_code {
inline constexpr std::uint64_t exception_base = 0x40, interrupt = 0x60, nmi = 0x61, smi = 0x62, init = 0x63,
                               virtual_interrupt = 0x64, cpuid = 0x72, iret = 0x74, hlt = 0x78, invlpga = 0x7A,
                               ioio = 0x7B, msr = 0x7C, shutdown = 0x7F, vmrun = 0x80, vmmcall = 0x81, vmload = 0x82,
                               vmsave = 0x83, stgi = 0x84, clgi = 0x85, skinit = 0x86, mwait = 0x8B,
                               mwait_conditional = 0x8C, xsetbv = 0x8D, nested_fault = 0x400, invalid = ~0ULL;
}

// Virtual interrupt control, 060h (15.21.1).
inline constexpr std::uint64_t v_irq = 1ULL << 8, v_ignore_tpr = 1ULL << 20, v_mask_physical = 1ULL << 24;

// EVENTINJ, section 15.20.
namespace event {
inline constexpr std::uint64_t valid = 1ULL << 31, error_code = 1ULL << 11, type_nmi = 2ULL << 8,
                               type_exception = 3ULL << 8;
}

// MSRs, appendix A.
namespace msr {
inline constexpr std::uint32_t debug_control = 0x1D9, syscfg = 0xC0010010, mmio_config_base = 0xC0010058,
                               vm_cr = 0xC0010114, vm_hsave_pa = 0xC0010117;
}
/// Decides where physical addresses lead (SYSCFG, IORRs, TOP_MEM, TOP_MEM2: APM volume 2, 7.9): whoever changes it can
/// lay other memory over the sensor's. Firmware sets these once.
constexpr bool routes_memory(std::uint32_t number)
{
    return number == msr::syscfg || (number >= 0xC0010016 && number <= 0xC001001A) || number == 0xC001001D;
}
/// DebugCtl (APM volume 2, 13.1.1): TF traps at branches only.
inline constexpr std::uint64_t debug_control_btf = 1ULL << 1;
inline constexpr std::uint64_t efer_svme = 1ULL << 12, efer_lme = 1ULL << 8, efer_lma = 1ULL << 10;
inline constexpr std::uint64_t vm_cr_redirect_init = 1ULL << 1, vm_cr_lock = 1ULL << 3, vm_cr_svmdis = 1ULL << 4;

/// Bitmaps shared by all CPUs (15.10.1, 15.11). Set bit: intercept.
inline constexpr std::size_t iopm_bytes = 3UL * 4096, msrpm_bytes = 2UL * 4096;

} // namespace undercroft::svm
