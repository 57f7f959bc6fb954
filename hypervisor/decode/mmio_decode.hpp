// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Instruction bytes to the one memory access that they make (Zydis decodes). Pure: the same
// bytes and mode always give the same answer.
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/backend/backend.hpp"

namespace undercroft::decode {

enum class CodeMode : std::uint8_t { bits16, bits32, bits64 };
[[nodiscard]] CodeMode code_mode(backend::PagingState const& paging);

enum class Operation : std::uint8_t {
    unknown,          ///< no instruction, or none that emulate() knows: single-step it
    load,             ///< register = memory
    load_zero_extend, ///< MOVZX
    load_sign_extend, ///< MOVSX, MOVSXD
    store,            ///< memory = register or immediate
    to_memory,        ///< memory = memory `alu` operand
    to_register,      ///< register = register `alu` memory
    compare,          ///< CMP, TEST: flags only
    exchange,         ///< XCHG
    exchange_add,     ///< XADD
    compare_exchange, ///< CMPXCHG
    bit,              ///< BT, BTS, BTR, BTC
    move_string,      ///< MOVS
    store_string,     ///< STOS
    load_string,      ///< LODS
};

enum class Alu : std::uint8_t {
    none,
    add,
    bit_or,
    add_carry,
    sub_borrow,
    bit_and,
    sub,
    bit_xor,
    increment,
    decrement,
    bit_not,
    negate,
    bit_test,
    bit_set,
    bit_reset,
    bit_complement,
};

struct DecodedAccess {
    Operation operation = Operation::unknown;
    Alu alu = Alu::none;
    std::uint8_t length = 0;         ///< of the instruction; 0 when the bytes are none
    std::uint8_t width = 0;          ///< of the memory operand: 1, 2, 4, 8
    std::uint8_t register_index = 0; ///< as in backend::Registers
    std::uint8_t register_width = 0; ///< 0: no register operand
    bool register_high = false;      ///< AH, CH, DH, BH (index 0 ... 3)
    bool has_immediate = false;
    bool memory_first = false;      ///< memory is the left operand (matters for CMP)
    bool repeat = false;            ///< REP before a string instruction
    std::uint8_t address_width = 0; ///< 2, 4, 8: how much of RCX, RSI, RDI a string instruction uses
    backend::Segment source_segment = backend::Segment::ds; ///< of MOVS and LODS
    std::uint64_t immediate = 0;                            ///< sign-extended

    bool operator==(DecodedAccess const&) const = default;
    [[nodiscard]] bool reads_only() const;
    [[nodiscard]] bool writes_only() const;
};

/// False (operation `unknown`): not an instruction, cut off, or none that emulate() knows.
/// Where the bytes are an instruction, out.length is set either way.
[[nodiscard]] bool decode(std::span<std::uint8_t const> bytes, CodeMode mode, DecodedAccess& out);

/// An instruction that is #UD at any privilege level where SVM is off (APM volume 3): VMRUN, VMLOAD, VMSAVE, CLGI,
/// INVLPGA; STGI and SKINIT unless the processor has SKINIT. Not VMMCALL, which never raises #GP.
[[nodiscard]] bool needs_svm(std::span<std::uint8_t const> bytes, CodeMode mode, bool has_skinit);

} // namespace undercroft::decode
