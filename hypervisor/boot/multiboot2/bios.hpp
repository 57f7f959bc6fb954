// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the loader asks of the BIOS.
#include <cstdint>
#include <string_view>

#include "hypervisor/boot/multiboot2/low.hpp"

namespace undercroft::multiboot2 {

/// Writes to the screen.
void print(LowBlock& low, std::string_view text);
/// INT 15h E820. False: the BIOS has no map, or one with too many entries.
[[nodiscard]] bool read_memory_map(LowBlock& low, MemoryMap& map);
/// What E801h and 88h may say once `map` is what is left: never more than the BIOS says now.
[[nodiscard]] MemorySizes memory_sizes(LowBlock& low, MemoryMap const& map);
/// Reads the drive's first sector to where a BIOS would. False: it cannot be read or is no boot sector.
[[nodiscard]] bool load_boot_sector(LowBlock& low, std::uint8_t drive);

} // namespace undercroft::multiboot2
