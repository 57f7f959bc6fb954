// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The virtual-machine control structure: Intel SDM vol. 3D, appendix B (field encodings), vol. 3C,
// chapter 25 (controls) and appendix C (exit reasons).
#include <cstdint>

namespace undercroft::vmx {

enum class Field : std::uint32_t {
    vpid = 0x0000,
    guest_es = 0x0800, // then CS, SS, DS, FS, GS, LDTR, TR in steps of 2
    host_es = 0x0C00,
    host_cs = 0x0C02,
    host_ss = 0x0C04,
    host_ds = 0x0C06,
    host_fs = 0x0C08,
    host_gs = 0x0C0A,
    host_tr = 0x0C0C,
    io_bitmap_a = 0x2000,
    io_bitmap_b = 0x2002,
    msr_bitmap = 0x2004,
    tsc_offset = 0x2010,
    ept_pointer = 0x201A,
    xss_exiting = 0x202C,
    guest_physical_address = 0x2400,
    link_pointer = 0x2800,
    guest_debugctl = 0x2802,
    guest_pat = 0x2804,
    guest_efer = 0x2806,
    guest_pdpte0 = 0x280A, // to 3 in steps of 2
    host_pat = 0x2C00,
    host_efer = 0x2C02,
    pin_controls = 0x4000,
    primary_controls = 0x4002,
    exception_bitmap = 0x4004,
    page_fault_mask = 0x4006,
    page_fault_match = 0x4008,
    cr3_target_count = 0x400A,
    exit_controls = 0x400C,
    exit_msr_store_count = 0x400E,
    exit_msr_load_count = 0x4010,
    entry_controls = 0x4012,
    entry_msr_load_count = 0x4014,
    entry_event = 0x4016,
    entry_error_code = 0x4018,
    entry_instruction_length = 0x401A,
    secondary_controls = 0x401E,
    instruction_error = 0x4400,
    exit_reason = 0x4402,
    exit_event = 0x4404,
    exit_error_code = 0x4406,
    vectoring_event = 0x4408,
    vectoring_error_code = 0x440A,
    exit_instruction_length = 0x440C,
    guest_es_limit = 0x4800,
    guest_gdtr_limit = 0x4810,
    guest_idtr_limit = 0x4812,
    guest_es_rights = 0x4814,
    guest_cs_rights = 0x4816,
    guest_ss_rights = 0x4818,
    interruptibility = 0x4824,
    activity = 0x4826,
    guest_sysenter_cs = 0x482A,
    timer_value = 0x482E,
    host_sysenter_cs = 0x4C00,
    cr0_mask = 0x6000,
    cr4_mask = 0x6002,
    cr0_shadow = 0x6004,
    cr4_shadow = 0x6006,
    qualification = 0x6400,
    guest_cr0 = 0x6800,
    guest_cr3 = 0x6802,
    guest_cr4 = 0x6804,
    guest_es_base = 0x6806,
    guest_gdtr_base = 0x6816,
    guest_idtr_base = 0x6818,
    guest_dr7 = 0x681A,
    guest_rsp = 0x681C,
    guest_rip = 0x681E,
    guest_rflags = 0x6820,
    pending_debug = 0x6822,
    guest_sysenter_esp = 0x6824,
    guest_sysenter_eip = 0x6826,
    host_cr0 = 0x6C00,
    host_cr3 = 0x6C02,
    host_cr4 = 0x6C04,
    host_fs_base = 0x6C06,
    host_gs_base = 0x6C08,
    host_tr_base = 0x6C0A,
    host_gdtr_base = 0x6C0C,
    host_idtr_base = 0x6C0E,
    host_sysenter_esp = 0x6C10,
    host_sysenter_eip = 0x6C12,
    host_rsp = 0x6C14,
    host_rip = 0x6C16,
};

/// The `index`th field of a row that begins at `first`.
constexpr Field at(Field first, unsigned index)
{
    return static_cast<Field>(static_cast<std::uint32_t>(first) + 2 * index);
}

namespace pin {
inline constexpr std::uint32_t external_interrupts = 1U << 0, nmi = 1U << 3, virtual_nmis = 1U << 5, timer = 1U << 6;
}
namespace primary {
inline constexpr std::uint32_t tsc_offsetting = 1U << 3, hlt = 1U << 7, mwait = 1U << 10, nmi_window = 1U << 22,
                               io_bitmaps = 1U << 25, msr_bitmaps = 1U << 28, secondary = 1U << 31;
}
namespace secondary {
inline constexpr std::uint32_t ept = 1U << 1, rdtscp = 1U << 3, vpid = 1U << 5, unrestricted = 1U << 7,
                               invpcid = 1U << 12, modification_log = 1U << 17, xsaves = 1U << 20, user_wait = 1U << 26;
}
namespace exit_control {
inline constexpr std::uint32_t save_debug = 1U << 2, host_64 = 1U << 9, save_pat = 1U << 18, load_pat = 1U << 19,
                               save_efer = 1U << 20, load_efer = 1U << 21;
}
namespace entry_control {
inline constexpr std::uint32_t load_debug = 1U << 2, long_mode = 1U << 9, load_pat = 1U << 14, load_efer = 1U << 15;
}

namespace reason {
inline constexpr std::uint32_t exception_or_nmi = 0, external_interrupt = 1, triple_fault = 2, init = 3, sipi = 4,
                               nmi_window = 8, task_switch = 9, cpuid = 10, getsec = 11, hlt = 12, invd = 13,
                               vmcall = 18, vmclear = 19, vmxon = 27, control_register = 28, io = 30, rdmsr = 31,
                               wrmsr = 32, mwait = 36, ept_violation = 48, ept_misconfiguration = 49, invept = 50,
                               timer = 52, invvpid = 53, xsetbv = 55;
inline constexpr std::uint32_t entry_failed = 1U << 31;
} // namespace reason

/// VM-entry interruption information and its kin (25.8.3, 25.9.2).
namespace event {
inline constexpr std::uint32_t vector_mask = 0xFF, type_mask = 7U << 8, type_external = 0U << 8, type_nmi = 2U << 8,
                               type_hardware = 3U << 8, type_software_interrupt = 4U << 8,
                               type_privileged_software = 5U << 8, type_software_exception = 6U << 8,
                               has_error_code = 1U << 11, unblocked_by_iret = 1U << 12, valid = 1U << 31;
}
/// Guest interruptibility state (25.4.2).
namespace blocking {
inline constexpr std::uint64_t sti = 1U << 0, mov_ss = 1U << 1, nmi = 1U << 3;
}

namespace msr {
inline constexpr std::uint32_t feature_control = 0x3A, tsc_adjust = 0x3B, sysenter_cs = 0x174, sysenter_esp = 0x175,
                               sysenter_eip = 0x176, debugctl = 0x1D9, tsc_deadline = 0x6E0, fs_base = 0xC0000100,
                               gs_base = 0xC0000101;
inline constexpr std::uint32_t basic = 0x480, misc = 0x485, cr0_fixed0 = 0x486, cr0_fixed1 = 0x487, cr4_fixed0 = 0x488,
                               cr4_fixed1 = 0x489, secondary_controls = 0x48B, ept_vpid = 0x48C, true_pin = 0x48D,
                               true_primary = 0x48E, true_exit = 0x48F, true_entry = 0x490;
inline constexpr std::uint32_t tme_activate = 0x982;
inline constexpr std::uint32_t first_capability = 0x480, last_capability = 0x4FF;
} // namespace msr
/// IA32_FEATURE_CONTROL (vol. 3C, 24.7).
inline constexpr std::uint64_t feature_lock = 1U << 0, feature_vmx_in_smx = 1U << 1, feature_vmx = 1U << 2;

/// IA32_DEBUGCTL: TF traps at branches only.
inline constexpr std::uint64_t debugctl_btf = 1U << 1;

inline constexpr std::uint64_t cr0_pe = 1U << 0, cr0_nw = 1U << 29, cr0_cd = 1U << 30, cr0_pg = 1U << 31;
inline constexpr std::uint64_t cr4_pae = 1U << 5, cr4_mce = 1U << 6, cr4_vmxe = 1U << 13, cr4_smxe = 1U << 14,
                               cr4_pcide = 1U << 17, cr4_osxsave = 1U << 18, cr4_pke = 1U << 22;
inline constexpr std::uint64_t efer_lme = 1U << 8, efer_lma = 1U << 10;

/// Two for ports, one for MSRs (25.6.4, 25.6.9). Set bit: intercept.
inline constexpr std::uint64_t io_bitmap_bytes = 2ULL * 4096, msr_bitmap_bytes = 4096;

} // namespace undercroft::vmx
