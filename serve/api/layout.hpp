// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where partitions and file systems of a disk begin and end, as far as that is known: from what was written while it
// was watched (MBR, GPT, superblocks), or from a file that `sfdisk --json` made on the machine.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "serve/index/store_index.hpp"

namespace undercroft::serve {

struct Partition {
    std::uint64_t first_lba{};
    std::uint64_t end_lba{};
    std::string name;
};

/// Of a master boot record; empty when it is none. Entries that a GPT protects itself with are left out.
[[nodiscard]] std::vector<Partition> parse_mbr(std::string const& sector);
/// Entries of 128 bytes from LBA 2 on.
[[nodiscard]] std::vector<Partition> parse_gpt_entries(std::string const& entries);
/// "ext4", "NTFS", "FAT32" and so on with its size in sectors; nothing when the first 4 KiB of a volume show none.
struct FileSystem {
    std::string type;
    std::uint64_t sectors{};
};
[[nodiscard]] std::optional<FileSystem> parse_file_system(std::string const& first_4k);
/// Partitions of sfdisk's JSON. Throws analysis::Error that names the file.
[[nodiscard]] std::vector<Partition> read_sfdisk(std::filesystem::path const& file);

/// List of {first_lba, end_lba, name, from}: "captured" or the name of the file.
[[nodiscard]] nlohmann::json disk_marks(std::filesystem::path const& store, BootIndex const& boot, std::uint16_t source,
                                        std::filesystem::path const& layouts);

} // namespace undercroft::serve
