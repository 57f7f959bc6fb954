// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns a closed journal segment into Parquet files. Crash-safe at every step because it can simply be
// done again: slots that closed files already hold are recognised by their numbers, content by its hash.
#include <atomic>
#include <memory>
#include <unordered_map>

#include "collector/store/content_file.hpp"
#include "collector/store/journal.hpp"
#include "collector/store/record_file.hpp"

namespace undercroft::collector {

/// Written by the converting thread, read by anyone.
struct StoreTotals {
    std::atomic<std::uint64_t> rows{};
    std::atomic<std::uint64_t> gap_records{};
    std::atomic<std::uint64_t> record_files{};
    std::atomic<std::uint64_t> content_blocks_stored{};
    std::atomic<std::uint64_t> content_blocks_known{};
    std::atomic<std::uint64_t> errors{};
    std::atomic<std::uint64_t> damaged_segments{};
};

class Converter {
public:
    Converter(fs::path store, HashIndex& known, StoreTotals& totals)
        : store_{std::move(store)}, known_{known}, totals_{totals}
    {
    }

    /// Publishes what the segment holds, content first, and removes it. Throws StoreError; then call it again later.
    /// `may_be_torn`: the segment may end in a frame that was being written when the collector was killed.
    void convert(std::uint64_t segment, bool may_be_torn);

private:
    struct Stream {
        StreamPosition position; ///< after what is in `file`
        std::unique_ptr<RecordFile> file;
    };
    /// What one conversion adds to the totals when it succeeds.
    struct Tally {
        std::uint64_t rows{};
        std::uint64_t gap_records{};
        std::uint64_t content_blocks_known{};
    };
    using Streams = std::unordered_map<StreamKey, Stream, StreamKeyHash>;

    void add(JournalEntry const& entry, Streams& streams, ContentFile& content);
    void add_rows(Slot const& slot, RecordFile& file, ContentFile& content);
    [[nodiscard]] StreamPosition position_of(StreamKey const& key);
    void dispose_of(fs::path const& path, std::uint64_t torn_bytes, bool may_be_torn);

    fs::path store_;
    HashIndex& known_;
    StoreTotals& totals_;
    Tally tally_;
    std::unordered_map<StreamKey, StreamPosition, StreamKeyHash> published_; ///< what closed files hold
};

} // namespace undercroft::collector
