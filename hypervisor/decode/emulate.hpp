// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Performs a decoded access on a device's behalf as the processor would have, flags included.
#include <cstdint>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/decode/mmio_decode.hpp"

namespace undercroft::decode {

enum class Progress : std::uint8_t {
    done,    ///< advance RIP by the instruction's length
    more,    ///< one round of a repeated string instruction is done: RIP stays
    unknown, ///< nothing was done: single-step the instruction
};

/// The guest-memory side of MOVS.
struct StringContext {
    core::GuestMemory* memory;
    backend::PagingState paging;
    std::uint64_t source_base;      ///< linear base of the source segment (0 in 64-bit mode but FS, GS)
    std::uint64_t destination_base; ///< of ES
    bool mmio_is_destination;       ///< from the fault: it was a write
};

/// `offset` is where the access lies in `handler`. Undefined flags stay as they were. Bit
/// tests with a register take the processor's word for the address and use the bit
/// number within the operand. Instructions that read and write make two calls: LOCK does not
/// hold between them against another CPU's access to the same register. `context` may be nullptr: MOVS is then
/// `unknown`.
[[nodiscard]] Progress emulate(DecodedAccess const& access, backend::Registers& registers, std::uint64_t& rflags,
                               core::MmioHandler& handler, std::uint64_t offset, StringContext const* context);

} // namespace undercroft::decode
