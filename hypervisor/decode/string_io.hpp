// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// INS and OUTS on a trapped port: decoded, then performed element by element through the guest's page tables.
// Restartable as on the processor: registers always say what has been done, and a fault comes before the element
// that has it. Accessed and dirty bits of the guest's tables are not set.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/port_io.hpp"
#include "hypervisor/decode/decode_cache.hpp"

namespace undercroft::decode {

struct StringPortInstruction {
    std::uint8_t length = 0; ///< 0: not INS or OUTS
    std::uint8_t width = 0;  ///< 1, 2, 4
    std::uint8_t address_width = 0;
    bool is_write = false;                           ///< OUTS
    backend::Segment segment = backend::Segment::es; ///< of the memory side
};
[[nodiscard]] bool decode_string_port(std::span<std::uint8_t const> bytes, CodeMode mode, StringPortInstruction& out);
using StringPortCache = BasicDecodeCache<StringPortInstruction, &decode_string_port>;

/// After so many elements the guest is entered again, with RIP still at the instruction, so that interrupts get in.
inline constexpr unsigned max_string_elements = 1024;

struct StringPortContext {
    backend::Registers& registers;
    backend::PagingState paging;
    backend::SegmentState segment; ///< of the memory side, as loaded
    core::GuestMemory& memory;
    core::MmioHandler& elsewhere; ///< memory that is not RAM; offset = guest-physical address
    core::PortIo& ports;
    std::uint16_t port;
    bool repeat;
};

enum class StringEnd : std::uint8_t { done, more, general_protection, stack_fault, page_fault };
struct StringOutcome {
    StringEnd end = StringEnd::done;
    std::uint64_t address = 0; ///< page_fault: for CR2
    std::uint32_t error = 0;   ///< page_fault
};
[[nodiscard]] StringOutcome perform_string_port(StringPortInstruction const& instruction, StringPortContext& context);

/// As paging::fetch_instruction, but code may also lie outside RAM (firmware in ROM).
[[nodiscard]] std::size_t fetch_anywhere(core::GuestMemory const& memory, core::MmioHandler& elsewhere,
                                         backend::PagingState const& paging, std::uint64_t cs_base, std::uint64_t rip,
                                         std::span<std::byte, 16> into);

/// Performs the string instruction that exited, or injects its fault. False: nothing was done, because the code at RIP
/// cannot be read or is not what exited.
template <backend::VirtualCpu C>
[[nodiscard]] bool string_io(C& cpu, StringPortCache& cache, backend::Exit const& exit, core::GuestMemory& memory,
                             core::MmioHandler& elsewhere, core::PortIo& ports)
{
    backend::PagingState const paging = cpu.paging();
    CodeMode const mode = code_mode(paging);
    std::array<std::byte, 16> bytes{};
    std::uint64_t const cs_base = mode == CodeMode::bits64 ? 0 : cpu.segment(backend::Segment::cs).base;
    std::size_t const got = fetch_anywhere(memory, elsewhere, paging, cs_base, cpu.rip(), bytes);
    auto const* const first = reinterpret_cast<std::uint8_t const*>(bytes.data());
    StringPortInstruction const instruction = cache.decode({first, got}, mode);
    if (instruction.length == 0 || instruction.is_write != exit.is_write || instruction.width != exit.width)
        return false;
    StringPortContext context{.registers = cpu.registers(),
                              .paging = paging,
                              .segment = cpu.segment(instruction.segment),
                              .memory = memory,
                              .elsewhere = elsewhere,
                              .ports = ports,
                              .port = exit.port,
                              .repeat = exit.rep};
    StringOutcome const outcome = perform_string_port(instruction, context);
    switch (outcome.end) {
    case StringEnd::done: {
        std::uint64_t const next = cpu.rip() + instruction.length;
        cpu.set_rip(mode == CodeMode::bits64 ? next : next & 0xFFFF'FFFF);
        break;
    }
    case StringEnd::more:
        break;
    case StringEnd::general_protection:
        cpu.inject_general_protection();
        break;
    case StringEnd::stack_fault:
        cpu.inject_stack_fault();
        break;
    case StringEnd::page_fault:
        cpu.inject_page_fault(outcome.address, outcome.error);
        break;
    }
    return true;
}

} // namespace undercroft::decode
