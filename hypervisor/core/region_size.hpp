// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// How much memory the sensor takes from the machine.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/memory/monitored_view.hpp"
#include "hypervisor/memory/page_copier.hpp"
#include "hypervisor/paging/nested_table.hpp"

namespace undercroft::core {

/// Without 1 GiB pages a fuller identity map would need too many tables; what lies above
/// is mapped when it is first touched.
inline constexpr std::uint64_t first_map_without_giant_pages = 64ULL << 30;

/// Bytes that the tables map at the start. `guest`: nested tables; `host`: the sensor's own.
[[nodiscard]] constexpr std::uint64_t first_map_bytes(paging::TableCapabilities const& guest,
                                                      paging::TableCapabilities const& host)
{
    std::uint64_t const limit = 1ULL << std::min<unsigned>(48, guest.address_bits);
    return guest.pages_1g && host.pages_1g ? limit : std::min(limit, first_map_without_giant_pages);
}

/// Pages for all three tables, and for pages that are split later.
[[nodiscard]] constexpr std::size_t table_pages(paging::TableCapabilities const& guest,
                                                paging::TableCapabilities const& host)
{
    constexpr std::size_t split_pages = 512;
    std::uint64_t const bytes = first_map_bytes(guest, host);
    auto const pages = [bytes](bool pages_1g) { return 2 + (bytes >> 39) + (pages_1g ? 0 : bytes >> 30); };
    return 2 * pages(guest.pages_1g) + pages(host.pages_1g) + split_pages;
}

/// Pages for the tables of the monitored view: its map, directories of RAM and a table for each 2 MiB of it.
[[nodiscard]] constexpr std::size_t monitored_pages(paging::TableCapabilities const& guest,
                                                    paging::TableCapabilities const& host, boot::RamExtent ram)
{
    // Pieces of RAM that begin or end within 2 MiB, and large pages that are split for devices or memory types.
    constexpr std::size_t spare_pages = 256;
    std::uint64_t const map = first_map_bytes(guest, host), end = std::min(ram.end, map);
    std::uint64_t const bytes = std::min(ram.bytes, end);
    return 2 + (map >> 39) + (guest.pages_1g ? memory::directories_for(end) : map >> 30) +
           bytes / memory::huge_page_bytes + spare_pages;
}

/// Pages that a consistent snapshot can set aside while the stream's buffer is full.
inline constexpr std::size_t snapshot_reserve_pages = 512;

/// What else the memory monitor is given: one byte for each page (counts for thinning) and some bits, its records'
/// buffer, and its own objects.
[[nodiscard]] constexpr std::uint64_t monitor_bytes(std::size_t pages_for_tables, boot::RamExtent ram,
                                                    std::uint64_t buffer_kib)
{
    constexpr std::uint64_t objects = 2ULL << 20;
    constexpr std::uint64_t reserve = snapshot_reserve_pages * sizeof(memory::ReservedPage);
    constexpr std::uint64_t bitmaps = 4;
    std::uint64_t const per_page = ram.end / page_bytes + bitmaps * ram.bytes / page_bytes / 8;
    std::uint64_t const regions = memory::regions_for(ram.end) * sizeof(memory::Region);
    return pages_for_tables * page_bytes + per_page + regions + memory::directories_for(ram.end) * 8 +
           buffer_kib * 1024 + objects + reserve;
}

/// A multiple of 2 MiB. `buffer_kib`: of the configuration.
[[nodiscard]] constexpr std::uint64_t region_bytes(std::size_t pages_for_tables, std::uint64_t cpus,
                                                   std::uint64_t buffer_kib, std::uint64_t monitor = 0)
{
    // Image, boot information, log, network rings; CPUs, tables and the record buffer come on top.
    constexpr std::uint64_t base = 24ULL << 20, per_cpu = 256ULL << 10, huge_page = 2ULL << 20;
    std::uint64_t const bytes = base + pages_for_tables * page_bytes + cpus * per_cpu + buffer_kib * 1024 + monitor;
    return (bytes + huge_page - 1) & ~(huge_page - 1);
}

} // namespace undercroft::core
