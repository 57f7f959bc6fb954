// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One stream of one boot as the page asks for it: tiles, features, gaps, single records. The closed files come from
// their indexes, what is not in Parquet yet from the live tail.
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "analysis/heatmap/picture.hpp"
#include "analysis/heatmap/survey.hpp"
#include "analysis/memory/coverage.hpp"
#include "serve/index/file_index.hpp"
#include "serve/index/rows.hpp"

namespace undercroft::serve {

/// What a moment's view of a stream consists of. Does not change once made.
struct StreamView {
    std::vector<std::shared_ptr<FileIndex const>> files; ///< by sequence number
    std::shared_ptr<Tail const> tail;                    ///< may begin before the files' end; null: none
    std::uint64_t waiting_files{};                       ///< closed, not indexed yet
    std::uint64_t revision{};                            ///< another one: something is new

    /// Another one: what lies in [from, to) may be new.
    [[nodiscard]] std::uint64_t version(std::int64_t from_ns, std::int64_t to_ns) const;
    /// First sequence number that the files do not account for.
    [[nodiscard]] std::uint64_t end_sequence() const { return files.empty() ? 0 : files.back()->facts.end_sequence; }
    /// The rows of the tail that are in no file.
    template <typename Visit>
    void for_each_in_tail(Visit visit) const
    {
        if (tail)
            tail->for_each([&, end = end_sequence()](PlainRow const& row) {
                if (row.sequence >= end)
                    visit(row);
            });
    }
};

/// What is new since the revision before: nothing earlier than this time.
struct Change {
    std::uint64_t revision{};
    std::int64_t from_ns{};
};

/// Pages looked at, by the memory monitor's own words.
struct LookedSpan {
    analysis::AccessKind kind{};
    std::uint64_t first_page{}; ///< guest-physical
    std::uint64_t end_page{};
    std::int64_t from_ns{};
    std::int64_t to_ns{};
};

/// Follows from the notes of all files and the tail.
struct StreamNotes {
    analysis::TimeRange time{.from_ns = std::numeric_limits<std::int64_t>::max(), .to_ns = -1}; ///< of the rows
    std::uint64_t rows{};
    std::vector<analysis::GapSpan> gaps;
    std::vector<analysis::TimeRange> off; ///< capture switched off; an open end is INT64_MAX
    analysis::RamMap ram;                 ///< memory
    std::vector<LookedSpan> looked;       ///< memory
    bool looked_cut{};                    ///< there were more than are kept
};

[[nodiscard]] StreamNotes make_notes(StreamView const& view, analysis::StreamName stream);

class StreamIndex {
public:
    StreamIndex(analysis::StreamName stream, RowCache& cache) : stream_{stream}, cache_{cache} {}

    [[nodiscard]] analysis::StreamName stream() const { return stream_; }
    [[nodiscard]] StreamView view() const;
    [[nodiscard]] std::shared_ptr<StreamNotes const> notes() const;
    /// The last few.
    [[nodiscard]] std::vector<Change> changes() const;

    void publish(std::vector<std::shared_ptr<FileIndex const>> files, std::uint64_t waiting_files);
    void publish_tail(std::shared_ptr<Tail const> tail);

    /// Throws analysis::Error.
    [[nodiscard]] TileGrids tile(StreamView const& view, TileShape const& shape,
                                 std::optional<std::uint16_t> source) const;
    /// Sums of `columns` steps of 2^time_shift ns from `first_column` on. Storage only.
    [[nodiscard]] std::vector<FeatureSums> features(StreamView const& view, unsigned time_shift,
                                                    std::int64_t first_column, std::uint32_t columns) const;
    /// Rows with from <= time < to in the order of the stream, with the number of their file and row group, as long as
    /// `visit` says next. Reads no more than `most_groups` row groups; false: there would be more.
    using VisitRow = std::function<analysis::Visit(PlainRow const&, analysis::BlockRun, Layer)>;
    bool rows(StreamView const& view, std::int64_t from_ns, std::int64_t to_ns, std::size_t most_groups,
              VisitRow const& visit) const;

private:
    analysis::StreamName stream_;
    RowCache& cache_;
    mutable std::mutex mutex_; ///< guards what follows
    void changed(std::int64_t from_ns);

    StreamView view_;
    std::deque<Change> changes_;
    mutable std::shared_ptr<StreamNotes const> notes_; ///< of revision notes_revision_
    mutable std::uint64_t notes_revision_{};
};

} // namespace undercroft::serve
