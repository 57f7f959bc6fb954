// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Features by which a processor writes memory that the EPT does not guard; the guest's processor has none of them:
//   - processor trace (Intel SDM vol. 3C, "Intel Processor Trace"): its buffers have physical addresses
//   - the hardware feedback interface (vol. 3B, "Hardware Feedback Interface"): its table too
//   - PEBS (vol. 3B, "Processor Event Based Sampling"): goes on counting in the sensor, and then writes to what the
//   guest's
//     linear address means there. With it goes the debug store as a whole, by which it is announced
#include <cstdint>

#include "hypervisor/core/x86.hpp"

namespace undercroft::vmx {

namespace msr {
inline constexpr std::uint32_t misc_enable = 0x1A0, pebs_enable = 0x3F1, pebs_base = 0x3F4, pebs_index = 0x3F5,
                               ds_area = 0x600, rtit_output_base = 0x560, rtit_output_mask = 0x561, rtit_ctl = 0x570,
                               rtit_status = 0x571, rtit_cr3_match = 0x572, rtit_first_range = 0x580,
                               rtit_last_range = 0x587, xss = 0xDA0, feedback_pointer = 0x17D0,
                               feedback_config = 0x17D1, feedback_thread_state = 0x17D2,
                               feedback_thread_config = 0x17D4;
}

struct MsrRange {
    std::uint32_t first, last;
};
inline constexpr MsrRange unguarded_msrs[] = {
    {msr::pebs_enable, msr::pebs_enable},
    {msr::pebs_base, msr::pebs_index},
    {msr::ds_area, msr::ds_area},
    {msr::rtit_output_base, msr::rtit_output_mask},
    {msr::rtit_ctl, msr::rtit_cr3_match},
    {msr::rtit_first_range, msr::rtit_last_range},
    {msr::feedback_pointer, msr::feedback_thread_config},
};

constexpr bool is_unguarded_msr(std::uint32_t number)
{
    for (MsrRange const& range : unguarded_msrs)
        if (number >= range.first && number <= range.last)
            return true;
    return false;
}

/// IA32_XSS bit 8: XRSTORS would load the trace's MSRs.
inline constexpr std::uint64_t xss_trace = 1U << 8;
inline constexpr std::uint32_t leaf_features = 7, leaf_state = 0xD;
inline constexpr std::uint32_t feature_trace = 1U << 25;    ///< leaf 7, EBX
inline constexpr std::uint32_t feature_ds = 1U << 21;       ///< leaf 1, EDX
inline constexpr std::uint32_t feature_feedback = 1U << 19; ///< leaf 6, EAX

/// CPUID's answer as of a processor without them.
constexpr void hide_unguarded(std::uint32_t leaf, std::uint32_t subleaf, core::CpuidResult& answer)
{
    constexpr std::uint32_t leaf_power = 6, leaf_trace = 0x14, leaf_counters = 0x23;
    constexpr std::uint32_t ds_64 = 1U << 2, ds_by_privilege = 1U << 4, thread_director = 1U << 23, trace_state = 8,
                            pebs_first = 4, pebs_last = 5;
    switch (leaf) {
    case 1:
        answer.ecx &= ~(ds_64 | ds_by_privilege);
        answer.edx &= ~feature_ds;
        break;
    case leaf_power:
        answer.eax &= ~(feature_feedback | thread_director);
        answer.edx = 0; // the feedback table's shape
        break;
    case leaf_features:
        if (subleaf == 0)
            answer.ebx &= ~feature_trace;
        break;
    case leaf_state:
        if (subleaf == 1)
            answer.ecx &= ~static_cast<std::uint32_t>(xss_trace);
        else if (subleaf == trace_state)
            answer = {};
        break;
    case leaf_trace:
        answer = {};
        break;
    case leaf_counters:
        if (subleaf == 0)
            answer.eax &= ~(1U << pebs_first | 1U << pebs_last); // which subleaves there are
        else if (subleaf == pebs_first || subleaf == pebs_last)
            answer = {};
        break;
    default:
        break;
    }
}

/// What the firmware has left running is stopped, before VMXON: in VMX operation some processors refuse it.
template <typename Hw>
void stop_unguarded(Hw& hw)
{
    constexpr std::uint32_t pebs_unavailable = 1U << 12;
    std::uint32_t const last = hw.cpuid(0, 0).eax;
    if (last >= leaf_features && (hw.cpuid(leaf_features, 0).ebx & feature_trace) != 0)
        hw.write_msr(msr::rtit_ctl, 0);
    if (last >= 6 && (hw.cpuid(6, 0).eax & feature_feedback) != 0)
        hw.write_msr(msr::feedback_config, 0);
    if ((hw.cpuid(1, 0).edx & feature_ds) != 0 && (hw.read_msr(msr::misc_enable) & pebs_unavailable) == 0)
        hw.write_msr(msr::pebs_enable, 0);
}

} // namespace undercroft::vmx
