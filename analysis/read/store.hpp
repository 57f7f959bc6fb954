// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Finds the partitions of a store (docs/formats/store.md). Nothing is opened for writing.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace undercroft::analysis {

/// The folders stream=* of a boot; each has sequence numbers of its own.
enum class StreamName : std::uint8_t { storage, memory };

/// One closed Parquet file of a stream; the numbers come from its name.
struct RecordFile {
    StreamName stream{};
    std::filesystem::path path;
    std::uint64_t first_sequence{};
    std::uint64_t last_sequence{};
    std::uintmax_t bytes{};
};

/// One start of the sensor on one machine.
struct Boot {
    std::string machine; ///< 32 hex digits
    std::string id;      ///< 32 hex digits
    std::filesystem::path folder;
    std::vector<RecordFile> files{};        ///< of the storage stream, in sequence order, not overlapping
    std::vector<RecordFile> memory_files{}; ///< of the memory stream, likewise
    std::uint64_t unfinished_files{};       ///< *.part, ignored
};

/// Whether the folder says that it is a store, of whatever format.
[[nodiscard]] bool is_store(std::filesystem::path const& folder);

/// Every boot of the store that matches, ordered by machine and boot. Empty prefixes match all.
[[nodiscard]] std::vector<Boot> list_boots(std::filesystem::path const& store, std::string const& machine_prefix,
                                           std::string const& boot_prefix);

/// The one boot that matches; otherwise an Error that lists what there is.
[[nodiscard]] Boot select_boot(std::filesystem::path const& store, std::string const& machine_prefix,
                               std::string const& boot_prefix);

/// hello.json or status.json of a boot; null when there is none.
[[nodiscard]] nlohmann::json read_json(std::filesystem::path const& file);

/// Closed Parquet files below STORE/content, ordered by path.
[[nodiscard]] std::vector<std::filesystem::path> list_content_files(std::filesystem::path const& store);

} // namespace undercroft::analysis
