// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

namespace undercroft::boot {

struct ElfImage {
    std::uint8_t* entry = nullptr; ///< nullptr: not a usable file
    std::uint64_t end = 0;         ///< first byte after the loaded image
};

/// Copies a static position-independent ELF64 into memory at `base` (4 KiB aligned) and
/// applies its R_X86_64_RELATIVE relocations. Every field is checked against the file's
/// and the memory's size.
[[nodiscard]] ElfImage load_elf(std::uint8_t const* file, std::size_t file_bytes, std::uint64_t base,
                                std::uint64_t memory_bytes);

} // namespace undercroft::boot
