// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Processor state after INIT and after a start-up IPI, once for both vendors: Intel SDM
// vol. 3A, table 10-1 (9-1 in editions before 2022), column INIT, and 8.4.3; AMD APM
// vol. 2, table 14-1 and 14.1.3. INIT leaves alone: TSC, MTRRs, PAT, all MSRs but EFER,
// x87/SSE state and the caches (hence CR0.CD and CR0.NW).
#include <cstdint>

#include "hypervisor/backend/backend.hpp"

namespace undercroft::backend::reset {

inline constexpr std::uint64_t cr0_et = 1ULL << 4;
inline constexpr std::uint64_t cr0_nw = 1ULL << 29;
inline constexpr std::uint64_t cr0_cd = 1ULL << 30;
inline constexpr std::uint64_t rflags = 1ULL << 1;
inline constexpr std::uint64_t rip = 0xFFF0;

/// Both manuals call CS "read/write, accessed" data; processors hold 9Bh (and VM entry wants
/// code), which reads the same in real mode.
inline constexpr std::uint16_t code_attributes = 0x9B;
inline constexpr std::uint16_t data_attributes = 0x93;
inline constexpr std::uint16_t ldt_attributes = 0x82;
inline constexpr std::uint16_t tss_attributes = 0x8B; ///< busy: VM entry refuses any other

struct SegmentValue {
    Segment segment;
    SegmentState state;
};
inline constexpr SegmentValue segments[] = {
    {Segment::es, {0, data_attributes, 0xFFFF, 0}},  {Segment::cs, {0xF000, code_attributes, 0xFFFF, 0xFFFF'0000}},
    {Segment::ss, {0, data_attributes, 0xFFFF, 0}},  {Segment::ds, {0, data_attributes, 0xFFFF, 0}},
    {Segment::fs, {0, data_attributes, 0xFFFF, 0}},  {Segment::gs, {0, data_attributes, 0xFFFF, 0}},
    {Segment::ldtr, {0, ldt_attributes, 0xFFFF, 0}}, {Segment::tr, {0, tss_attributes, 0xFFFF, 0}},
};

} // namespace undercroft::backend::reset

namespace undercroft::backend {

/// Puts the guest's CPU into the state after INIT. `signature` is CPUID leaf 1 EAX, which
/// INIT leaves in EDX. The caller then lets the CPU wait for a start-up IPI (or, on the
/// bootstrap processor, run from the reset vector). CR2 and DR0 to DR3 belong to
/// set_debug_and_activity_reset(); guest TLB entries are the backend's to flush.
template <VirtualCpu C>
void apply_init(C& cpu, std::uint32_t signature)
{
    std::uint64_t const kept = cpu.paging().cr0 & (reset::cr0_cd | reset::cr0_nw);
    cpu.set_system_registers(reset::cr0_et | kept, 0, 0, 0);
    cpu.set_descriptor_tables(0, 0xFFFF, 0, 0xFFFF);
    for (auto const& value : reset::segments)
        cpu.set_segment(value.segment, value.state);
    cpu.registers() = Registers{};
    cpu.registers().gpr[2] = signature;
    cpu.set_rflags(reset::rflags);
    cpu.set_debug_and_activity_reset();
    cpu.set_rip(reset::rip);
}

/// A start-up IPI in the state that apply_init() made: real mode at vector * 4 KiB.
template <VirtualCpu C>
void apply_startup(C& cpu, std::uint8_t vector)
{
    SegmentState code = cpu.segment(Segment::cs);
    code.selector = static_cast<std::uint16_t>(vector << 8);
    code.base = static_cast<std::uint64_t>(vector) << 12;
    cpu.set_segment(Segment::cs, code);
    cpu.set_rip(0);
}

} // namespace undercroft::backend
