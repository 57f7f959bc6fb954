// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Physical region descriptors: what a bus master is told to transfer, and where (Programming Interface for Bus Master
// IDE Controller 1.0, 1.2). The guest's table is copied once and the copy is judged and given to the bus master, so
// that what the guest does to its own table afterwards has no effect.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/observe/disk_command.hpp"

namespace undercroft::ide {

struct PrdEntry {
    std::uint32_t address = 0;
    std::uint32_t count_word = 0;

    static constexpr std::uint32_t end_of_table = 1U << 31;
    [[nodiscard]] std::uint32_t bytes() const
    {
        std::uint32_t const count = count_word & 0xfffeU;
        return count == 0 ? 0x10000U : count;
    }
    [[nodiscard]] bool last() const { return (count_word & end_of_table) != 0; }
};
static_assert(sizeof(PrdEntry) == 8);

/// A table may not cross a 64 KiB boundary.
inline constexpr std::size_t max_prd_table_bytes = 0x10000;
inline constexpr std::size_t max_prd_entries = max_prd_table_bytes / sizeof(PrdEntry);

struct alignas(max_prd_table_bytes) PrdTable {
    std::array<PrdEntry, max_prd_entries> entries;
};

enum class PrdVerdict : std::uint8_t {
    usable,
    unreadable,     ///< outside guest RAM
    touches_sensor, ///< an entry is aimed at the sensor's memory
    too_long,       ///< does not fit after entries that cross a boundary were split
};

struct PrdCopy {
    PrdVerdict verdict = PrdVerdict::unreadable;
    std::span<PrdEntry const> entries; ///< usable: ends with end_of_table
    std::uint64_t bytes = 0;           ///< sum of the entries
    bool well_formed = true;           ///< false: no end, reserved bits, odd address or count, an entry across 64 KiB
};

/// Copies the table at `guest_table` (a value of the bus master's table register). In the copy no entry crosses a
/// 64 KiB boundary or the end of the address space: such entries are split, so that every bus master takes them alike.
/// A table without an end is cut where the bus master would leave its 64 KiB.
[[nodiscard]] PrdCopy copy_prd_table(core::GuestMemory const& memory, std::uint32_t guest_table,
                                     std::span<PrdEntry> room);

/// Walks a copy, joining entries that follow each other in memory, for at most `bytes` bytes.
class PrdExtents final : public observe::ExtentSource {
public:
    PrdExtents(std::span<PrdEntry const> entries, std::uint64_t bytes) : rest_{entries}, bytes_{bytes} {}
    [[nodiscard]] bool next(observe::Extent& extent) override;

private:
    std::span<PrdEntry const> rest_;
    std::uint64_t bytes_;
};

} // namespace undercroft::ide
