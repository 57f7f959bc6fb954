// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Looks for everything that can be wrong with a store on disk, and puts right what can be put right without guessing.
#include <functional>
#include <string>
#include <vector>

#include "collector/store/files.hpp"

namespace undercroft::collector {

struct FsckOptions {
    bool repair = false; ///< refused while a collector uses the store
    bool deep = false;   ///< hash every content block again
};

struct Finding {
    enum class Grade : std::uint8_t {
        note,    ///< normal, or what the next start of collect puts right
        problem, ///< not as a store should be
    };
    Grade grade{};
    std::string path; ///< relative to the store
    std::string text;
    bool repaired = false;
};

struct FsckReport {
    std::vector<Finding> findings; ///< the first max_findings
    std::uint64_t problems = 0;    ///< not repaired
    std::uint64_t repaired = 0;
    std::uint64_t streams = 0;
    std::uint64_t record_files = 0;
    std::uint64_t rows = 0;
    std::uint64_t gap_rows = 0;
    std::uint64_t gap_records = 0;
    std::uint64_t content_files = 0;
    std::uint64_t content_blocks = 0;
    std::uint64_t journal_segments = 0;
    std::uint64_t journal_slots = 0;
};
inline constexpr std::size_t max_findings = 1000;

/// Throws StoreError when the folder is no store, or for repair when it is in use.
[[nodiscard]] FsckReport check_store(fs::path const& store, FsckOptions options);

} // namespace undercroft::collector
