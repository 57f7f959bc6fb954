// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>

namespace undercroft::collector {

/// What the store has done since this start. Written by its threads, read by anyone.
struct StoreTotals {
    std::atomic<std::uint64_t> rows{};
    std::atomic<std::uint64_t> gap_records{};
    std::atomic<std::uint64_t> record_files{};
    std::atomic<std::uint64_t> record_file_bytes{};
    std::atomic<std::uint64_t> content_files{};
    std::atomic<std::uint64_t> content_file_bytes{};
    std::atomic<std::uint64_t> content_blocks_stored{};
    std::atomic<std::uint64_t> content_blocks_known{};
    std::atomic<std::uint64_t> journal_bytes{};
    std::atomic<std::uint64_t> errors{};
    std::atomic<std::uint64_t> damaged_segments{};
    std::atomic<std::uint64_t> files_compacted{};
    std::atomic<std::uint64_t> files_deleted_by_age{};
    std::atomic<std::uint64_t> files_deleted_by_size{};
};

} // namespace undercroft::collector
