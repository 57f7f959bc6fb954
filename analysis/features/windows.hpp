// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// RanSAP's five features of storage accesses in a sliding window (docs/formats/features.md), in one pass with
// memory for the open windows only.
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

/// Count, mean and sum of squared deviations of LBAs. Rounding is relative to how far they lie apart, not to how far
/// from the disk's beginning.
struct Moments {
    std::uint64_t count{};
    std::uint64_t origin{}; ///< one of them
    double mean{};          ///< less the origin
    double squares{};

    void merge(Moments const& other);
    /// `count` LBAs from `first`, each eight sectors further.
    static Moments of_series(std::uint64_t first, std::uint64_t count);
    /// Of the population; 0 when there is none.
    [[nodiscard]] double variance() const { return count == 0 ? 0 : squares / static_cast<double>(count); }
};

/// Sums over a time; two of them add up.
struct WindowSums {
    std::uint64_t read_bytes{};
    std::uint64_t write_bytes{};
    Moments reads{};  ///< LBAs of the pieces of at most 4,096 bytes
    Moments writes{}; ///< the same
    double entropy{}; ///< of the write pieces whose entropy is known
    std::uint64_t entropy_pieces{};
    std::uint64_t lost{}; ///< records missing

    void add(RecordRow const& row);
    void merge(WindowSums const& other);
};

struct WindowShape {
    std::int64_t window_ns{};
    std::int64_t step_ns{}; ///< divides window_ns
};

struct Window {
    std::int64_t start_ns{};
    WindowSums sums{};
};

/// What must be known of all rows before the windows can be made.
struct TimeSurvey {
    std::int64_t first_ns{std::numeric_limits<std::int64_t>::max()};
    std::int64_t last_ns{};
    std::int64_t disorder_ns{}; ///< the furthest that a time lies behind an earlier row's

    void add(std::int64_t time_ns);
};

/// Calls back for each window in time order. Windows begin at the first row's time and each step after it, as long as
/// they end no later than the step of the last row; those without read, write or gap are left out.
class SlidingWindows {
public:
    using Visitor = std::function<void(Window const&)>;

    SlidingWindows(WindowShape shape, TimeSurvey const& survey, Visitor visit)
        : shape_{shape}, survey_{survey}, visit_{std::move(visit)}
    {
    }

    /// Rows in the order of the survey. Throws Error when so many steps are open at once that memory would run out:
    /// the clock has jumped back a long way.
    void add(RecordRow const& row);
    void finish();

private:
    [[nodiscard]] std::int64_t step_of(std::int64_t time_ns) const;
    void close_before(std::int64_t step);

    WindowShape shape_;
    TimeSurvey survey_;
    Visitor visit_;
    std::int64_t latest_ns_{};
    std::int64_t next_{}; ///< the first window that was not handed out
    std::map<std::int64_t, WindowSums> steps_{};
};

} // namespace undercroft::analysis
