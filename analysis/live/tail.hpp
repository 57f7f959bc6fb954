// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Records within a tenth of a second of their becoming durable: follows the write-ahead journal of a running
// `undercroft collect` (docs/formats/store.md), from the same process or another one. Only reads.
//
//   LiveTail tail{{.store = "/srv/undercroft"}};
//   while (running) {
//       if (tail.poll(sink) == 0)
//           std::this_thread::sleep_for(LiveTail::pause);
//   }
//
// The rows of a stream are those that the collector will put into Parquet, in the same order, gap rows included: who
// reads the closed files later sees the same. Segments are held open, so that nothing is missed when the collector
// turns them into Parquet and deletes them meanwhile. A frame that is still being written is waited for; one that is
// damaged is named, and reading goes on with the next segment.
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "analysis/read/record_scan.hpp"
#include "collector/ingest/identity.hpp"
#include "collector/ingest/position.hpp"
#include "collector/store/journal.hpp"

namespace undercroft::analysis {

/// Whose records: one stream of one start of a sensor.
struct LiveStream {
    std::string machine; ///< 32 hex digits
    std::string boot;    ///< 32 hex digits
    StreamName name{};
};

class LiveSink {
public:
    virtual ~LiveSink() = default;
    /// One row. `row.content` is always null; `row.request` is valid during the call only. `stream` stays where it is
    /// as long as the tail lives.
    virtual void record(LiveStream const& stream, RecordRow const& row) = 0;
    /// Something that cannot be read; the text names file and reason.
    virtual void problem(std::string const& text) = 0;
};

struct TailOptions {
    std::filesystem::path store;
    /// UTC; rows of earlier times are left out, closed files are read first. None: only what comes from now on.
    std::optional<std::int64_t> from_ns{};
    std::string machine{}; ///< id, or how it begins; empty: all
    bool memory = false;   ///< with the memory stream
};

struct TailCounters {
    std::uint64_t rows{};             ///< handed out
    std::uint64_t slots{};            ///< frames read
    std::uint64_t lost_records{};     ///< that gap rows stood for
    std::uint64_t damaged_segments{}; ///< left in the middle
    std::uint64_t missed_segments{};  ///< gone before they could be opened
};

class LiveTail {
public:
    /// How long to wait after a poll that gave nothing.
    static constexpr std::chrono::milliseconds pause{50};

    /// Throws Error when `store` is no store.
    explicit LiveTail(TailOptions options);
    ~LiveTail();
    LiveTail(LiveTail const&) = delete;
    LiveTail& operator=(LiveTail const&) = delete;

    /// Hands out what is there, at most about `most_rows` at a time (a slot is never split, nor is a closed file when
    /// starting from a time). How many rows it were; 0: all that there is was read.
    std::size_t poll(LiveSink& sink, std::size_t most_rows = 100'000);
    [[nodiscard]] TailCounters const& counters() const { return counters_; }

private:
    struct Stream {
        LiveStream id;
        bool wanted{};
        std::optional<collector::StreamPosition> position; ///< none: takes what comes first
    };
    struct Segment {
        std::uint64_t number{};
        std::unique_ptr<collector::JournalReader> reader;
        std::chrono::steady_clock::time_point damaged_since{}; ///< epoch: not
        bool damage_told{};
    };
    /// A closed file that is still to be read.
    struct Closed {
        Stream* stream{};
        std::uint64_t before{}; ///< rows from this sequence number on are the journal's
        RecordFile file;
    };
    using Key = std::pair<collector::BootKey, wire::Stream>;
    struct KeyHash {
        std::size_t operator()(Key const& key) const
        {
            return collector::BootKeyHash{}(key.first) * 0x9E3779B97F4A7C15U + static_cast<std::size_t>(key.second);
        }
    };

    void open_segments(LiveSink* sink);
    void skip_to_now();
    void find_closed();
    std::size_t read_closed(LiveSink& sink);
    std::size_t read_segment(LiveSink& sink, std::size_t most_rows);
    [[nodiscard]] bool segment_ended(LiveSink& sink);
    Stream& stream_of(collector::BootKey const& boot, wire::Stream name);
    std::size_t take(collector::JournalEntry const& entry, LiveSink& sink);
    std::size_t hand_out(Stream const& stream, RecordRow const& row, LiveSink& sink);
    std::size_t hand_out_gap(Stream const& stream, collector::Gap gap, std::int64_t time_ns, LiveSink& sink);

    TailOptions options_;
    std::filesystem::path journal_;
    std::deque<Segment> segments_; ///< open ones, ascending; the first is being read
    std::uint64_t newest_ = 0;     ///< highest number seen
    std::deque<Closed> closed_;
    std::unordered_map<Key, std::unique_ptr<Stream>, KeyHash> streams_;
    collector::JournalEntry entry_;
    TailCounters counters_;
};

} // namespace undercroft::analysis
