// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The registers that a command's parameters are written to. What counts at a command is what the device has: the
// current values are read back from it. What cannot be read back everywhere, the features and the values written before
// the last (the upper half of 48-bit commands), is followed as it is written.
#include <array>
#include <cstdint>

#include "hypervisor/core/port_io.hpp"
#include "hypervisor/mediate/ata/command.hpp"

namespace undercroft::ide {

class TaskFile {
public:
    /// The guest writes register 1 ... 6.
    void written(unsigned reg, std::uint8_t value);
    /// Registers may have been written unseen: what is known of earlier writes does not hold.
    void forget();
    /// The device has taken a command; it may leave other values than were written.
    void command_taken() { forget(); }

    struct Ports {
        core::PortIo* io;
        std::uint16_t command_block;
        std::uint16_t control; ///< 0: not decoded
        /// What Device Control holds; unknown at first, then the high-order bytes cannot be read.
        std::uint8_t control_value;
        bool control_known;
    };
    struct Taken {
        ata::CommandFis fis{}; ///< as a serial ATA host would send it
        bool stale = false;    ///< some register was not written for this command, or read back different
    };
    /// The command as the device is about to take it. It is neither busy nor asking for data.
    [[nodiscard]] Taken take(std::uint8_t command, bool extended, Ports const& ports) const;

private:
    struct Register {
        std::uint8_t current = 0, previous = 0;
        std::uint8_t writes = 0; ///< since the last command; stays at 2
    };
    std::array<Register, 7> registers_{};
};

/// Whether an opcode takes its address from twice-written registers.
[[nodiscard]] bool is_extended(std::uint8_t opcode);

} // namespace undercroft::ide
