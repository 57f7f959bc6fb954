// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From a nested fault on a watched device to the access done: fetch, decode, emulate,
// advance. Written once for every VirtualCpu.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/decode/decode_cache.hpp"
#include "hypervisor/decode/emulate.hpp"
#include "hypervisor/paging/guest_walk.hpp"

namespace undercroft::decode {

namespace detail {

inline constexpr std::uint64_t rflags_trap = 1ULL << 8;
inline constexpr std::uint64_t rflags_resume = 1ULL << 16;

/// Only FS and GS have a base in 64-bit mode.
template <backend::VirtualCpu C>
std::uint64_t segment_base(C const& cpu, backend::Segment segment, CodeMode mode)
{
    bool const flat = mode == CodeMode::bits64 && segment != backend::Segment::fs && segment != backend::Segment::gs;
    return flat ? 0 : cpu.segment(segment).base;
}

} // namespace detail

/// Performs the access that faulted. `offset` is the faulting address's place in `handler`
/// (for core::MmioRouter the guest-physical address itself), `is_write` the fault's
/// direction. On `done` RIP and RFLAGS are those after the instruction. On `unknown`
/// nothing has happened: the instruction could not be read, is none that emulate() knows,
/// does not fit the fault (the guest rewrote it meanwhile), runs over the end of the page, or the guest is
/// stepping itself.
template <backend::VirtualCpu C>
[[nodiscard]] Progress access_mmio(C& cpu, DecodeCache& cache, core::GuestMemory& memory, core::MmioHandler& handler,
                                   std::uint64_t offset, bool is_write)
{
    backend::PagingState const paging = cpu.paging();
    if (paging.rflags & detail::rflags_trap)
        return Progress::unknown;
    CodeMode const mode = code_mode(paging);
    std::array<std::byte, 16> bytes{};
    std::uint64_t const cs_base = detail::segment_base(cpu, backend::Segment::cs, mode);
    std::size_t const got = paging::fetch_instruction(memory, paging, cs_base, cpu.rip(), bytes);
    auto const* first = reinterpret_cast<std::uint8_t const*>(bytes.data());
    DecodedAccess const& access = cache.decode({first, got}, mode);
    if (is_write ? access.reads_only() : access.writes_only())
        return Progress::unknown;
    // What lies behind the page in guest-physical memory need not be what the guest has mapped behind it.
    if (offset % page_bytes + access.width > page_bytes)
        return Progress::unknown;

    std::uint64_t rflags = paging.rflags;
    Progress progress;
    if (access.operation == Operation::move_string) {
        StringContext const context{&memory, paging, detail::segment_base(cpu, access.source_segment, mode),
                                    detail::segment_base(cpu, backend::Segment::es, mode), is_write};
        progress = emulate(access, cpu.registers(), rflags, handler, offset, &context);
    } else {
        progress = emulate(access, cpu.registers(), rflags, handler, offset, nullptr);
    }
    if (progress != Progress::done)
        return progress;
    rflags &= ~detail::rflags_resume;
    if (rflags != paging.rflags)
        cpu.set_rflags(rflags);
    std::uint64_t const next = cpu.rip() + access.length;
    cpu.set_rip(mode == CodeMode::bits64 ? next : next & 0xFFFF'FFFF);
    return Progress::done;
}

} // namespace undercroft::decode
