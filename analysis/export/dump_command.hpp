// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// `undercroft export --format lime|padded|elf`.
#include <cstdint>
#include <filesystem>
#include <optional>

#include "analysis/memory/dump.hpp"
#include "analysis/read/store.hpp"

namespace undercroft::analysis {

struct DumpRequest {
    DumpFormat format{};
    std::optional<std::uint64_t> sweep; ///< nothing: the last complete one
    bool allow_missing{};               ///< write zeros where pages are missing, and say where
    std::filesystem::path out;
};

/// Writes `out` and `out`.json. Throws Error.
void export_dump(Boot const& boot, std::filesystem::path const& store, DumpRequest const& request);

} // namespace undercroft::analysis
