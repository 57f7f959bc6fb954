// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a command FIS asks of the disk (ACS-4 and older standards' opcodes). Pure functions.
#include <array>
#include <cstdint>

namespace undercroft::ata {

/// The command FIS as copied from the command table; bytes past its stated length are 0.
using CommandFis = std::array<std::uint8_t, 64>;

enum class Operation : std::uint8_t {
    read,
    write,
    flush,
    trim,     ///< ranges are in the command's data
    zero,     ///< ZERO EXT: a range that reads as zeros afterwards, no data
    identify, ///< IDENTIFY DEVICE
    packet,   ///< PACKET and IDENTIFY PACKET DEVICE
    other,    ///< known, moves no sector data of the medium
    reset,    ///< a control FIS with SRST set
    unknown,
};

/// CHS translation in force, 0 = not known.
struct Geometry {
    std::uint16_t heads = 0;
    std::uint16_t sectors_per_track = 0;
};

struct Command {
    Operation operation = Operation::unknown;
    std::uint8_t opcode = 0;
    std::uint64_t lba = 0;     ///< in the disk's logical sectors
    std::uint32_t sectors = 0; ///< logical sectors; for trim 512-byte blocks of ranges
    bool forced_unit_access = false;
    bool queued = false;
    bool address_known = true; ///< false: CHS without a known geometry, or an impossible CHS address
};

/// Never fails: whatever the bytes, the answer is one of the operations above.
[[nodiscard]] Command parse_command(CommandFis const& fis, Geometry geometry);

/// Whether it may change what the medium holds: writes, trims, erasures, and what nobody knows. ATAPI packets are not
/// looked into: false.
[[nodiscard]] bool may_change_medium(Command const& command);

} // namespace undercroft::ata
