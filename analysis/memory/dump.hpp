// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A memory image as a file for other tools (docs/formats/memory-dump.md).
#include <cstdint>
#include <filesystem>

#include "analysis/memory/image.hpp"

namespace undercroft::analysis {

enum class DumpFormat : std::uint8_t {
    lime,   ///< LiME version 1: a header before each region
    padded, ///< the byte at offset n is that of address n; holes are holes of the file
    elf,    ///< ELF core: one PT_LOAD for each region
};

/// Writes the file under its final name only when complete; returns the SHA-256 of its bytes (of a padded file: of the
/// regions' bytes) as hex. Throws Error.
[[nodiscard]] std::string write_dump(MemoryImage const& image, DumpFormat format, std::filesystem::path const& file);

} // namespace undercroft::analysis
