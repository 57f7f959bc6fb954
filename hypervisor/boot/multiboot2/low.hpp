// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The block in conventional memory (low.S) and BIOS calls through it.
#include <cstdint>
#include <optional>
#include <span>

#include "hypervisor/boot/multiboot2/memory_map.hpp"

namespace undercroft::multiboot2 {

struct RealRegisters {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0;
    std::uint16_t ds = 0, es = 0, flags = 0;

    [[nodiscard]] bool failed() const { return (flags & 1) != 0; } ///< carry
};

/// What INT 15h AX=E801h and AH=88h answer; absent: as the BIOS does.
struct MemorySizes {
    std::optional<std::uint16_t> kib_to_16m, extended_kib;
    std::uint16_t chunks_from_16m = 0; ///< of 64 KiB
};

class LowBlock {
public:
    /// Takes the memory at the end of conventional memory. 0 in start(): there is none.
    LowBlock();
    [[nodiscard]] std::uint64_t start() const { return start_; }
    [[nodiscard]] static std::uint64_t bytes();
    /// For a start-up IPI.
    [[nodiscard]] std::uint8_t startup_vector() const { return static_cast<std::uint8_t>(start_ >> 12); }

    /// Calls the BIOS's handler in real mode. Not from a guest: the way back sets EFER.LME, as a system does.
    void interrupt(std::uint8_t number, RealRegisters& registers);
    /// 64 bytes for calls that take a buffer.
    [[nodiscard]] std::span<std::uint8_t> buffer();
    [[nodiscard]] RealRegisters with_buffer() const; ///< ES:DI and DS:SI point to it
    /// To the boot sector that lies at 0x7C00, in real mode.
    [[noreturn]] void start_boot_sector(std::uint8_t drive);

    /// Reserves the block and answers INT 15h from `map` and `sizes` from now on.
    void take_over(MemoryMap const& map, MemorySizes const& sizes);
    /// Leaves word for the GRUB that starts next.
    void leave_mark(std::uint32_t mark);

private:
    std::uint64_t start_ = 0;
};

/// In the BIOS data area's 16 bytes for communication between programs: the mark, then the segment of our INT 15h
/// handler. A mark counts while the vector still has that segment: a restart of the machine puts the BIOS's back.
inline constexpr std::uint64_t mark_address = 0x4F0;
inline constexpr std::uint32_t mark_started = 0x31746355, mark_failed = 0x30746355; ///< "Uct1", "Uct0"

} // namespace undercroft::multiboot2
