// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The time range of a stream's records, where some are missing, and the part of it that a picture shows.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analysis/heatmap/picture.hpp"
#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

/// [from, to)
struct TimeRange {
    std::int64_t from_ns{};
    std::int64_t to_ns{};
};

struct Survey {
    TimeRange time{.from_ns = INT64_MAX, .to_ns = 0};
    std::vector<GapSpan> gaps;
    std::vector<TimeRange> off; ///< capture switched off
};

/// One pass over everything. Throws Error, naming `folder`, when there are no records.
[[nodiscard]] Survey make_survey(std::vector<RecordFile> const& files, std::filesystem::path const& folder);

/// As options give it; empty: not given.
struct TimeWish {
    std::string from; ///< as parse_time
    std::string to;
    std::string window; ///< as parse_duration
};

/// Calls its argument for each access: when, and how much it counts.
using ForEachTime = std::function<void(std::function<void(std::int64_t, double)> const&)>;

/// `for_each` is called only to find the busiest window.
[[nodiscard]] TimeRange choose_time(TimeWish const& wish, Survey const& survey, ForEachTime const& for_each);

} // namespace undercroft::analysis
