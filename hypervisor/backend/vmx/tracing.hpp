// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Features by which a processor writes memory past the EPT, or while the sensor's own tables are in use: processor
// trace (Intel SDM vol. 3C, "Intel Processor Trace": its buffers have physical addresses) and the debug store (vol. 3B,
// "Debug Store (DS) Mechanism": PEBS goes on counting in the sensor, and then writes to what the guest's linear address
// means there). The guest's processor has neither.
#include <cstdint>

#include "hypervisor/core/x86.hpp"

namespace undercroft::vmx {

namespace msr {
inline constexpr std::uint32_t pebs_enable = 0x3F1, ds_area = 0x600, rtit_output_base = 0x560, rtit_output_mask = 0x561,
                               rtit_ctl = 0x570, rtit_status = 0x571, rtit_cr3_match = 0x572, rtit_first_range = 0x580,
                               rtit_last_range = 0x587, xss = 0xDA0;
}

inline constexpr std::uint32_t tracing_msrs[] = {msr::pebs_enable,
                                                 msr::ds_area,
                                                 msr::rtit_output_base,
                                                 msr::rtit_output_mask,
                                                 msr::rtit_ctl,
                                                 msr::rtit_status,
                                                 msr::rtit_cr3_match,
                                                 msr::rtit_first_range,
                                                 0x581,
                                                 0x582,
                                                 0x583,
                                                 0x584,
                                                 0x585,
                                                 0x586,
                                                 msr::rtit_last_range};

constexpr bool is_tracing_msr(std::uint32_t number)
{
    for (std::uint32_t const one : tracing_msrs)
        if (number == one)
            return true;
    return false;
}

/// IA32_XSS bit 8: XRSTORS would load the trace's MSRs.
inline constexpr std::uint64_t xss_trace = 1U << 8;
inline constexpr std::uint32_t leaf_features = 7, leaf_state = 0xD, leaf_trace = 0x14;
inline constexpr std::uint32_t feature_trace = 1U << 25; ///< leaf 7, EBX
inline constexpr std::uint32_t feature_ds = 1U << 21;    ///< leaf 1, EDX

/// CPUID's answer as of a processor without them.
constexpr void hide_tracing(std::uint32_t leaf, std::uint32_t subleaf, core::CpuidResult& answer)
{
    constexpr std::uint32_t ds_64 = 1U << 2, ds_by_privilege = 1U << 4, trace_state = 8;
    if (leaf == 1) {
        answer.ecx &= ~(ds_64 | ds_by_privilege);
        answer.edx &= ~feature_ds;
    } else if (leaf == leaf_features && subleaf == 0) {
        answer.ebx &= ~feature_trace;
    } else if (leaf == leaf_state && subleaf == 1) {
        answer.ecx &= ~static_cast<std::uint32_t>(xss_trace);
    } else if (leaf == leaf_trace || (leaf == leaf_state && subleaf == trace_state)) {
        answer = {};
    }
}

/// What the firmware has left running is stopped, before VMXON: in VMX operation some processors refuse it.
template <typename Hw>
void stop_tracing(Hw& hw)
{
    constexpr std::uint32_t msr_misc_enable = 0x1A0, pebs_unavailable = 1U << 12;
    if (hw.cpuid(0, 0).eax >= leaf_features && (hw.cpuid(leaf_features, 0).ebx & feature_trace) != 0)
        hw.write_msr(msr::rtit_ctl, 0);
    if ((hw.cpuid(1, 0).edx & feature_ds) != 0 && (hw.read_msr(msr_misc_enable) & pebs_unavailable) == 0)
        hw.write_msr(msr::pebs_enable, 0);
}

} // namespace undercroft::vmx
