// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What GRUB hands over (Multiboot2 Specification 2.0, 3.6), and the loader's own options.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace undercroft::multiboot2 {

/// A file that GRUB has loaded: [start, end), physical.
struct Module {
    std::uint32_t start, end;
};

struct BootTags {
    static constexpr std::size_t max_modules = 4;
    std::string_view command_line; ///< inside the given bytes
    Module modules[max_modules] = {};
    std::size_t module_count = 0;
    std::size_t modules_omitted = 0;
    std::optional<std::uint8_t> boot_drive; ///< the BIOS's number of the drive that GRUB came from
};

/// Reads the information structure; `bytes` begins at its first byte and may be longer than it. nullopt: its own size
/// is out of bounds, or a tag is cut off or too short for its kind.
[[nodiscard]] std::optional<BootTags> read_tags(std::span<std::uint8_t const> bytes);

/// Options on GRUB's `multiboot2` line.
struct Options {
    std::optional<std::uint8_t> boot_drive; ///< boot_drive=0x81
    bool good = true;                       ///< false: a word that is not known, or a value that is none
};
[[nodiscard]] Options read_options(std::string_view command_line);

/// The drive to start next: the option, else the hard disk that GRUB came from, else the first one.
[[nodiscard]] std::uint8_t next_drive(Options const& options, BootTags const& tags);

} // namespace undercroft::multiboot2
