// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Registers of a parallel ATA channel (ATA/ATAPI-6, chapter 7) and of its bus master (Programming Interface for Bus
// Master IDE Controller 1.0; 82371SB datasheet, 2.7).
#include <cstdint>

namespace undercroft::ide {

/// Offsets in the command block.
namespace reg {
inline constexpr unsigned data = 0, features = 1, count = 2, lba_low = 3, lba_high = 5, device = 6, command = 7;
inline constexpr unsigned status = command; ///< when read; reading it takes the interrupt back
} // namespace reg

/// The control block's one register of ATA: Device Control, read as Alternate Status.
namespace control {
inline constexpr std::uint8_t software_reset = 1U << 2, high_order_byte = 1U << 7;
}

namespace status {
inline constexpr std::uint8_t data_request = 1U << 3, ready = 1U << 6, busy = 1U << 7;
}

namespace opcode {
inline constexpr std::uint8_t data_set_management = 0x06, device_reset = 0x08, initialise_parameters = 0x91,
                              set_multiple = 0xc6;
}

/// Offsets in a channel's half of the bus-master block.
namespace bus_master {
inline constexpr unsigned command = 0, status = 2, table = 4, bytes = 8;
inline constexpr std::uint8_t start = 1U << 0;  // in command
inline constexpr std::uint8_t active = 1U << 0; // in status
} // namespace bus_master

inline constexpr unsigned command_block_bytes = 8;

} // namespace undercroft::ide
