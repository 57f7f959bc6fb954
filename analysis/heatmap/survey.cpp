// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/survey.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "analysis/heatmap/densest.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

TimeRange busiest_window(TimeRange all, std::int64_t length_ns, ForEachTime const& for_each)
{
    constexpr std::int64_t most_bins = 65536;
    std::int64_t const bin_ns = std::max<std::int64_t>((all.to_ns - all.from_ns) / most_bins + 1, length_ns / 4096 + 1);
    std::vector<double> counts(static_cast<std::size_t>((all.to_ns - all.from_ns - 1) / bin_ns + 1));
    for_each([&](std::int64_t time_ns, double count) {
        counts[static_cast<std::size_t>((time_ns - all.from_ns) / bin_ns)] += count;
    });
    Span const window =
        fullest_window(counts, static_cast<std::uint64_t>(std::max<std::int64_t>(length_ns / bin_ns, 1)));
    std::int64_t const from = all.from_ns + static_cast<std::int64_t>(window.first) * bin_ns;
    return {.from_ns = from, .to_ns = from + length_ns};
}

} // namespace

Survey make_survey(std::vector<RecordFile> const& files, std::filesystem::path const& folder)
{
    Survey survey;
    std::int64_t previous_ns = -1;
    std::uint64_t expected = 0;
    std::optional<std::int64_t> off_since;
    auto const add_gap = [&](std::int64_t at_ns, std::uint64_t lost) {
        std::int64_t const from = previous_ns < 0 ? at_ns : std::min(previous_ns, at_ns);
        survey.gaps.push_back({.from_ns = from, .to_ns = std::max(previous_ns, at_ns), .lost = lost});
    };
    scan_records(files, {}, {}, [&](RecordRow const& row) {
        if (row.sequence > expected) // nothing in the store accounts for these numbers
            add_gap(row.time_ns, row.sequence - expected);
        if (row.kind == RecordKind::gap)
            add_gap(row.time_ns, row.length);
        if (row.kind == RecordKind::capture_off && !off_since)
            off_since = row.time_ns;
        if (row.kind == RecordKind::capture_on && off_since)
            survey.off.push_back({.from_ns = *std::exchange(off_since, std::nullopt), .to_ns = row.time_ns});
        expected = row.sequence + (row.kind == RecordKind::gap ? std::max<std::uint64_t>(row.length, 1) : 1);
        survey.time.from_ns = std::min(survey.time.from_ns, row.time_ns);
        survey.time.to_ns = std::max(survey.time.to_ns, row.time_ns + 1);
        previous_ns = row.time_ns;
        return Visit::next;
    });
    if (survey.time.from_ns >= survey.time.to_ns)
        throw Error{fmt::format("{}: the boot has no records yet", folder.string())};
    if (off_since)
        survey.off.push_back({.from_ns = *off_since, .to_ns = INT64_MAX});
    return survey;
}

TimeRange choose_time(TimeWish const& wish, Survey const& survey, ForEachTime const& for_each)
{
    TimeRange range = survey.time;
    if (!wish.from.empty())
        range.from_ns = parse_time(wish.from, survey.time.from_ns);
    if (!wish.to.empty())
        range.to_ns = parse_time(wish.to, survey.time.from_ns);
    if (!wish.window.empty()) {
        std::int64_t const length = parse_duration(wish.window);
        if (!wish.to.empty())
            throw Error{"--window does not go with --to"};
        if (wish.from.empty())
            range = busiest_window(survey.time, length, for_each);
        else
            range.to_ns = range.from_ns + length;
    } else if (wish.to.empty() && range.to_ns - range.from_ns < second_ns && range.to_ns > range.from_ns) {
        range.to_ns = range.from_ns + second_ns; // room for an axis
    }
    if (range.from_ns >= range.to_ns)
        throw Error{fmt::format("the time range is empty; the records reach from {} to {} UTC",
                                format_time(survey.time.from_ns, 6), format_time(survey.time.to_ns, 6))};
    return range;
}

} // namespace undercroft::analysis
