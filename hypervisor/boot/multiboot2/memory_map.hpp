// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory map of a BIOS machine: what INT 15h E820 says, what is taken out of it for the sensor, and what of it is
// memory at all. ACPI 6.4, chapter 15; the interface is older: ranges may be unsorted and may overlap.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "hypervisor/boot/boot_info.hpp"

namespace undercroft::multiboot2 {

enum class RangeType : std::uint32_t { usable = 1, reserved, acpi_reclaim, acpi_nvs, unusable, disabled, persistent };

struct MapEntry {
    std::uint64_t start, bytes;
    RangeType type;
    std::uint32_t attributes; ///< ACPI 3.0: without bit 0 the entry is to be ignored
    std::uint32_t returned;   ///< 20, or 24 when the BIOS gave attributes

    /// 2^64 - 1 when it goes beyond.
    [[nodiscard]] constexpr std::uint64_t end() const { return start + bytes < start ? ~0ULL : start + bytes; }
    [[nodiscard]] constexpr bool counts() const { return bytes != 0 && (returned < 24 || (attributes & 1) != 0); }
    [[nodiscard]] constexpr bool overlaps(std::uint64_t from, std::uint64_t to) const
    {
        return start < to && from < end();
    }
};
/// What the resident INT 15h handler keeps of it (low.S).
inline constexpr std::size_t kept_entry_bytes = 28;
static_assert(offsetof(MapEntry, type) == 16 && offsetof(MapEntry, returned) == 24);

class MemoryMap {
public:
    static constexpr std::size_t capacity = 256;

    /// False: no room.
    [[nodiscard]] bool add(MapEntry const& entry);
    /// Makes what is usable of [start, start + bytes) reserved; all else stays as the BIOS has it, order included.
    /// False: no room, and nothing has changed.
    [[nodiscard]] bool hide(std::uint64_t start, std::uint64_t bytes);
    /// Where `bytes` of usable memory lie, aligned, as high as possible in [floor, limit), outside of `taken`.
    [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t bytes, std::uint64_t align, std::uint64_t floor,
                                                    std::uint64_t limit,
                                                    std::span<boot::MemoryRange const> taken) const;
    /// Whether all of [start, start + bytes) is usable.
    [[nodiscard]] bool usable(std::uint64_t start, std::uint64_t bytes) const;
    /// Bytes of usable memory from `start` on without a gap.
    [[nodiscard]] std::uint64_t usable_from(std::uint64_t start) const;

    [[nodiscard]] std::span<MapEntry const> entries() const { return {entries_.data(), count_}; }

private:
    std::array<MapEntry, capacity> entries_{};
    std::size_t count_ = 0;
};

/// What is memory, usable or not: the sensor reads the guest's commands wherever the BIOS or the system puts them, but
/// never in a device's registers. Reserved ranges count when they lie right beside memory and is_cached() says that
/// the MTRRs make all of them write-back; ranges are sorted, disjoint, and cut to whole pages.
class RamRanges {
public:
    /// Takes [start, start + bytes) out again.
    void exclude(std::uint64_t start, std::uint64_t bytes);
    void add(std::uint64_t start, std::uint64_t end);
    [[nodiscard]] std::span<boot::MemoryRange const> ranges() const { return {ranges_.data(), count_}; }

private:
    // Each entry of a map makes one range, and one is split.
    std::array<boot::MemoryRange, MemoryMap::capacity + 2> ranges_{};
    std::size_t count_ = 0;
};
static_assert(MemoryMap::capacity + 2 <= boot::max_memory_ranges);
using IsCached = bool (*)(void const* context, std::uint64_t start, std::uint64_t end);
[[nodiscard]] RamRanges find_ram(MemoryMap const& map, IsCached is_cached, void const* context);

} // namespace undercroft::multiboot2
