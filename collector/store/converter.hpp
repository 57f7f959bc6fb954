// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns a closed journal segment into Parquet files. Crash-safe at every step because it can simply be
// done again: slots that closed files already hold are recognised by their numbers, content by its hash.
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "collector/store/closed_file.hpp"
#include "collector/store/content_file.hpp"
#include "collector/store/journal.hpp"
#include "collector/store/record_file.hpp"
#include "collector/store/totals.hpp"

namespace undercroft::collector {

/// One stream of one start of a sensor.
struct StreamKey {
    BootKey boot;
    wire::Stream stream{};
    auto operator<=>(StreamKey const&) const = default;
};
struct StreamKeyHash {
    std::size_t operator()(StreamKey const& key) const
    {
        return BootKeyHash{}(key.boot) * 0x9E3779B97F4A7C15U + static_cast<std::size_t>(key.stream);
    }
};

class Converter {
public:
    /// Told of each file when it has its final name.
    using Announce = std::function<void(fs::path const&, ClosedKind)>;

    /// Where the closed files of a stream end.
    using Resume = std::function<StreamPosition(StreamKey const&)>;

    /// `jobs` threads share the streams of a segment.
    Converter(fs::path store, HashIndex& known, StoreTotals& totals, unsigned jobs, Resume resume, Announce announce)
        : store_{std::move(store)}, known_{known}, totals_{totals}, jobs_{jobs}, resume_{std::move(resume)},
          announce_{std::move(announce)}
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
    /// What one thread makes of its streams.
    struct Pass {
        std::unordered_map<StreamKey, Stream, StreamKeyHash> streams;
        std::uint64_t rows{};
        std::uint64_t gap_records{};
        std::uint64_t content_blocks_known{};
        std::uint64_t torn_bytes{};
        std::exception_ptr failure;
    };

    void run(Pass& pass, unsigned job, fs::path const& segment, bool may_be_torn, ContentFile& content);
    void add(Pass& pass, JournalEntry const& entry, ContentFile& content);
    static void add_rows(Pass& pass, Slot const& slot, RecordFile& file, ContentFile& content);
    void publish_stream(StreamKey const& key, Stream& stream);
    [[nodiscard]] StreamPosition position_of(StreamKey const& key);
    void dispose_of(fs::path const& path, std::uint64_t torn_bytes, bool may_be_torn);

    fs::path store_;
    HashIndex& known_;
    StoreTotals& totals_;
    unsigned jobs_;
    Resume resume_;
    Announce announce_;
    std::mutex mutex_;                                                       ///< guards published_
    std::unordered_map<StreamKey, StreamPosition, StreamKeyHash> published_; ///< what closed files hold
};

} // namespace undercroft::collector
