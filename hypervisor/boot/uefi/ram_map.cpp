// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/uefi/ram_map.hpp"

namespace undercroft::efi {
namespace {

bool is_ram(MemoryDescriptor const& d)
{
    switch (d.type) {
    case MemoryType::loader_code:
    case MemoryType::loader_data:
    case MemoryType::boot_code:
    case MemoryType::boot_data:
    case MemoryType::runtime_code:
    case MemoryType::runtime_data:
    case MemoryType::conventional:
    case MemoryType::acpi_reclaim:
    case MemoryType::acpi_nvs:
    case MemoryType::persistent:
        return true;
    case MemoryType::reserved:
        return (d.attribute & memory_wb) != 0;
    default:
        return false;
    }
}

boot::MemoryRange range_of(MemoryDescriptor const& d)
{
    constexpr std::uint64_t most_pages = (~0ULL >> 12);
    std::uint64_t const room = (~0ULL - d.physical_start) / 4096;
    std::uint64_t const pages = d.pages < most_pages ? d.pages : most_pages;
    return {d.physical_start, (pages < room ? pages : room) * 4096};
}

/// The RAM that begins lowest among what begins at or above `from`, outside the sensor's region. Bytes 0: none.
boot::MemoryRange next_ram(MemoryMap const& map, std::uint64_t from, boot::BootInfo const& info)
{
    boot::MemoryRange best{0, 0};
    for (std::uint64_t at = 0; at + sizeof(MemoryDescriptor) <= map.bytes; at += map.stride) {
        MemoryDescriptor d;
        __builtin_memcpy(&d, map.descriptors + at, sizeof(d));
        boot::MemoryRange const range = range_of(d);
        bool const in_region =
            range.start < info.region_start + info.region_bytes && info.region_start < range.start + range.bytes;
        if (is_ram(d) && !in_region && range.bytes != 0 && range.start >= from &&
            (best.bytes == 0 || range.start < best.start))
            best = range;
    }
    return best;
}

} // namespace

bool list_ram(MemoryMap const& map, boot::BootInfo& info)
{
    if (map.stride < sizeof(MemoryDescriptor))
        return false;
    info.memory_ranges = 0;
    std::uint64_t from = 0;
    for (;;) {
        boot::MemoryRange const range = next_ram(map, from, info);
        if (range.bytes == 0)
            return info.memory_ranges != 0;
        from = range.start + range.bytes;
        boot::MemoryRange* const last = info.memory_ranges != 0 ? &info.memory[info.memory_ranges - 1] : nullptr;
        if (last != nullptr && last->start + last->bytes == range.start)
            last->bytes += range.bytes;
        else if (info.memory_ranges < boot::max_memory_ranges)
            info.memory[info.memory_ranges++] = range;
        else
            return false;
    }
}

} // namespace undercroft::efi
