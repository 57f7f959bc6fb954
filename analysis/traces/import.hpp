// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs of published data sets as boots of a store (docs/formats/store.md).
#include <filesystem>
#include <string>

#include "analysis/traces/run_folder.hpp"

namespace undercroft::analysis {

/// Machine and boot of an imported run: the first 16 bytes of the SHA-256 of its environment and of its path, so
/// that importing the same run again finds it there.
struct ImportedIds {
    std::string machine;
    std::string boot;
};
[[nodiscard]] ImportedIds ids_of(RunPlace const& place);

enum class Imported : std::uint8_t { written, already_there, empty };

/// Makes `store` a store when it is an empty folder or none. Throws Error when it is something else.
void prepare_store(std::filesystem::path const& store);

/// Writes the run's storage accesses as one file and what is known of the run as import.json. Memory accesses have no
/// place in the storage stream and are left out. Throws Error.
Imported import_run(TraceRun const& run, std::filesystem::path const& store);

/// Whether an imported boot lacked its write file. Boots that were not imported have writes.
[[nodiscard]] bool lacks_writes(std::filesystem::path const& boot_folder);

} // namespace undercroft::analysis
