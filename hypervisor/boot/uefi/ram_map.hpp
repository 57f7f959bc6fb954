// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From the firmware's memory map to the core's list of RAM.
#include <cstddef>
#include <cstdint>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/boot/uefi/efi.hpp"

namespace undercroft::efi {

/// A memory map as GetMemoryMap leaves it (UEFI 2.10, 7.2.3): descriptors `stride` bytes apart, in any order.
struct MemoryMap {
    std::uint8_t const* descriptors;
    std::uint64_t bytes;
    std::uint64_t stride;
};

/// Fills info.memory with the map's RAM, sorted, neighbours joined, without the sensor's region.
/// False: it lies in more than max_memory_ranges pieces, or the map is none.
[[nodiscard]] bool list_ram(MemoryMap const& map, boot::BootInfo& info);

} // namespace undercroft::efi
