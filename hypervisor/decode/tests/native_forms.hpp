// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::decode::testing {

/// Registers in encoding order and RFLAGS, before and after a native run. RSP must point
/// to writable memory.
struct NativeState {
    std::uint64_t gpr[16];
    std::uint64_t rflags;
};
extern "C" NativeState undercroft_native_state;

/// One instruction form; the assembler made its bytes. Its memory operand is at (%rdi),
/// string forms use RSI and RDI.
struct NativeForm {
    void (*run)(); ///< loads undercroft_native_state, executes the instruction, stores the state
    std::uint8_t const* bytes;
    std::uint64_t length;
    char const* text;
};
extern "C" NativeForm const undercroft_native_forms[];
extern "C" NativeForm const undercroft_native_forms_end[];

} // namespace undercroft::decode::testing
