// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// 64-bit instructions that run_ahead() may perform itself: effects on general registers,
// status flags and RIP, at most one memory operand, which is only read (or is the
// destination of a MOV). Everything else decodes to `stop`.
#include <cstdint>
#include <span>

#include "hypervisor/decode/mmio_decode.hpp"

namespace undercroft::decode {

enum class StepKind : std::uint8_t {
    stop,
    nothing,           ///< NOP, ENDBR64
    access,            ///< what DecodedAccess describes, the place being memory or a register
    effective_address, ///< LEA
    shift,             ///< SHL, SHR, SAR of a register by an immediate or CL
    set_condition,     ///< SETcc register
    move_condition,    ///< CMOVcc: the place is the source
    jump,              ///< to `target` from the next instruction
    jump_condition,
};
enum class Shift : std::uint8_t { left, right, right_signed };

struct DecodedStep {
    static constexpr std::uint8_t no_register = 16, instruction_pointer = 17;

    StepKind kind = StepKind::stop;
    std::uint8_t condition = 0; ///< as in the low four bits of the opcode
    Shift shift = Shift::left;
    bool place_is_memory = false;
    bool place_high = false;      ///< AH, CH, DH, BH as place
    std::uint8_t place_index = 0; ///< where the place is a register
    std::uint8_t base = no_register, index = no_register, scale = 1;
    std::uint8_t address_width = 8;
    std::int64_t displacement = 0; ///< of memory; of jumps from the instruction's end
    DecodedAccess access;          ///< length; width of the place; the other operand

    bool operator==(DecodedStep const&) const = default;
};

/// False (`stop`): nothing that may be performed. `mode` is there for the cache: only bits64 gives steps.
[[nodiscard]] bool decode_step(std::span<std::uint8_t const> bytes, CodeMode mode, DecodedStep& out);

} // namespace undercroft::decode
