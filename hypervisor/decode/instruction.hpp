// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the two decoders (mmio_decode.cpp, step_decode.cpp) share; not for others.
#include <Zydis/Zydis.h>

#include <cstdint>
#include <span>

#include "hypervisor/decode/mmio_decode.hpp"

namespace undercroft::decode::detail {

struct Instruction {
    ZydisDecodedInstruction head;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};
[[nodiscard]] bool run_zydis(std::span<std::uint8_t const> bytes, CodeMode mode, Instruction& instruction);

/// What a mnemonic asks for; register and memory sides come from the operands.
struct Meaning {
    Operation operation; ///< for two-operand forms: with memory as destination
    Alu alu;
};
[[nodiscard]] Meaning meaning_of(ZydisMnemonic mnemonic);
[[nodiscard]] Operation direction(Operation operation, bool memory_first);

/// False: none of the 16 general registers.
[[nodiscard]] bool set_register(DecodedAccess& out, ZydisRegister reg);
[[nodiscard]] backend::Segment segment_of(ZydisRegister reg);

} // namespace undercroft::decode::detail
