// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns accesses into the totals of time windows as they close. Batch use is the same code fed from a file.
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "analysis/features/block_history.hpp"
#include "analysis/features/totals.hpp"
#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

struct ExtractorOptions {
    /// Each row of features looks back over all of these from the same end.
    std::vector<std::int64_t> windows_ns;
    std::int64_t step_ns{}; ///< between the ends of two rows
    /// Only the first read of a block within the history counts, and no row below 512 bytes: some published traces
    /// carry a beat of repeated reads that only ransomware runs have (docs/detection.md).
    bool first_reads_only = true;
    std::int64_t history_ns = 600'000'000'000;
    std::size_t most_blocks = std::size_t{1} << 22; ///< of the history: 128 MiB
    /// Only throughput, variance and mean entropy, of storage and memory (RanSAP's five, RanSMAP's 23): without
    /// history, runs and places, and many times as fast. `first_reads_only` must be off then.
    bool sums_only = false;
};

/// A closed step: the windows that end at `end_ns`.
struct WindowRow {
    std::int64_t end_ns{};
    bool whole{};                      ///< the trace began no later than the longest window
    std::vector<WindowTotals> windows; ///< as in ExtractorOptions::windows_ns
};

class FeatureExtractor {
public:
    using Sink = std::function<void(WindowRow const&)>;

    /// Throws Error when a window or the step is not positive, or the windows need more than 20,000 panes.
    FeatureExtractor(ExtractorOptions options, Sink sink);

    /// Accesses come in time order; one that is earlier than the one before counts as of that one's time. A read or
    /// write is taken apart into rows of 4,096 bytes (of one beyond 256 MiB only these count). Steps begin with the
    /// first access. When nothing happened for as long as the longest window, rows are left out until the step with the
    /// next access.
    void push(Access const& access);
    /// The same for many; faster, as their history is fetched ahead.
    void push(std::span<Access const> accesses);

    /// Closes all steps that end at `now_ns` or before, for a live feed that is silent.
    void advance_to(std::int64_t now_ns);

    /// Closes the step that is open: there is no more to come.
    void finish();

    [[nodiscard]] std::uint64_t history_overflows() const { return history_.overflows(); }
    [[nodiscard]] std::uint64_t rows() const { return rows_; }

private:
    /// Where a direction stands: what the next row is compared with.
    struct Position {
        std::uint64_t end_lba{};
        std::uint64_t run{};     ///< rows of the open run; 0: none yet
        std::uint64_t at_rest{}; ///< of these, overwrites of what lay on the disk
        std::int64_t slot{-1};
        std::uint64_t in_slot{};
    };
    /// The pane in which a place was last touched, by hash; -1: never.
    struct Touched {
        std::vector<std::int64_t> blocks;
        std::vector<std::int64_t> zones;
    };

    /// The highest of the last so many values.
    struct Highest {
        struct Entry {
            std::int64_t pane{};
            std::uint64_t value{};
        };
        std::deque<Entry> entries; ///< values falling

        void add(std::int64_t pane, std::uint64_t value, std::int64_t panes);
        [[nodiscard]] std::uint64_t value() const { return entries.empty() ? 0 : entries.front().value; }
    };

    void storage_access(Access const& access);
    void storage_sums(Direction direction, Access const& access, std::uint64_t pieces);
    void storage_row(Direction direction, Access const& row);
    void relate_write(BlockState const& state, HistoryTime now, Access const& row, bool at_rest);
    void place_row(Direction direction, Access const& row, bool at_rest);
    void memory_row(Access const& access);
    void close_run(Direction direction);
    void close_slot(Direction direction);
    void close_pane();
    void emit();
    void skip_silence(std::int64_t time_ns);
    void follow_peaks();
    [[nodiscard]] WindowTotals window(std::size_t index) const;

    ExtractorOptions options_;
    Sink sink_;
    std::int64_t pane_ns_{};
    std::int64_t panes_per_step_{};
    std::int64_t longest_panes_{};

    BlockHistory history_;
    std::array<Position, 2> positions_{};
    std::array<Touched, 2> touched_;
    int last_direction_ = -1;

    std::int64_t start_ns_ = std::numeric_limits<std::int64_t>::min(); ///< min: nothing seen yet
    std::int64_t now_ns_{};
    std::int64_t pane_end_ns_{};
    std::int64_t pane_{}; ///< number of the open pane
    std::int64_t last_active_pane_{};
    PaneTotals open_;
    std::vector<PaneTotals> closed_;                      ///< ring of the last longest_panes_ panes
    std::vector<PaneTotals> sums_;                        ///< of closed panes, one per window
    std::int64_t peak_panes_{};                           ///< that make ten seconds
    std::array<std::uint64_t, peak_counts> stretch_{};    ///< sums of the last of them
    std::vector<std::array<Highest, peak_counts>> peaks_; ///< one per window
    std::uint64_t rows_{};
};

} // namespace undercroft::analysis
