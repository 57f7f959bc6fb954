// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/heatmap.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"
#include "wire/record.hpp"

namespace undercroft::analysis {
namespace {

constexpr Columns access_columns{.address = true, .length = true, .source = true, .flags = true};

/// [from, to)
struct TimeRange {
    std::int64_t from_ns{};
    std::int64_t to_ns{};
};

/// One pass over everything: the time range of all records, and where some are missing.
struct Survey {
    TimeRange time{.from_ns = INT64_MAX, .to_ns = 0};
    std::vector<GapSpan> gaps;
    std::vector<TimeRange> off; ///< capture switched off
};

Survey make_survey(Boot const& boot)
{
    Survey survey;
    std::int64_t previous_ns = -1;
    std::uint64_t expected = 0;
    std::optional<std::int64_t> off_since;
    auto const add_gap = [&](std::int64_t at_ns, std::uint64_t lost) {
        std::int64_t const from = previous_ns < 0 ? at_ns : std::min(previous_ns, at_ns);
        survey.gaps.push_back({.from_ns = from, .to_ns = std::max(previous_ns, at_ns), .lost = lost});
    };
    scan_records(boot, {}, {}, [&](RecordRow const& row) {
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
        throw Error{fmt::format("{}: the boot has no records yet", boot.folder.string())};
    if (off_since)
        survey.off.push_back({.from_ns = *off_since, .to_ns = INT64_MAX});
    return survey;
}

bool is_access(RecordRow const& row)
{
    return row.kind == RecordKind::read || row.kind == RecordKind::write;
}

/// Block runs of reads and writes in a time range. Rows before it are scanned too: what a request's later row
/// shares with the row before does not depend on the range.
void for_each_run(Boot const& boot, HeatmapRequest const& request, TimeRange range,
                  std::function<void(RecordRow const&, BlockRun)> const& visit, bool entropy = false)
{
    BlockCounter counter{request.count};
    Columns columns = access_columns;
    columns.entropy = entropy;
    scan_records(boot, columns, {.source = request.source}, [&](RecordRow const& row) {
        BlockRun const run = counter.count(row);
        if (is_access(row) && row.time_ns >= range.from_ns && row.time_ns < range.to_ns)
            visit(row, run);
        return Visit::next;
    });
}

TimeRange busiest_window(Boot const& boot, HeatmapRequest const& request, TimeRange all, std::int64_t length_ns)
{
    constexpr std::int64_t most_bins = 65536;
    std::int64_t const bin_ns = std::max<std::int64_t>((all.to_ns - all.from_ns) / most_bins + 1, length_ns / 4096 + 1);
    std::vector<double> counts(static_cast<std::size_t>((all.to_ns - all.from_ns - 1) / bin_ns + 1));
    for_each_run(boot, request, all, [&](RecordRow const& row, BlockRun run) {
        counts[static_cast<std::size_t>((row.time_ns - all.from_ns) / bin_ns)] += static_cast<double>(run.count);
    });
    Span const window =
        fullest_window(counts, static_cast<std::uint64_t>(std::max<std::int64_t>(length_ns / bin_ns, 1)));
    std::int64_t const from = all.from_ns + static_cast<std::int64_t>(window.first) * bin_ns;
    return {.from_ns = from, .to_ns = from + length_ns};
}

TimeRange choose_time(Boot const& boot, HeatmapRequest const& request, Survey const& survey)
{
    TimeRange range = survey.time;
    if (!request.from.empty())
        range.from_ns = parse_time(request.from, survey.time.from_ns);
    if (!request.to.empty())
        range.to_ns = parse_time(request.to, survey.time.from_ns);
    if (!request.window.empty()) {
        std::int64_t const length = parse_duration(request.window);
        if (!request.to.empty())
            throw Error{"--window does not go with --to"};
        if (request.from.empty())
            range = busiest_window(boot, request, survey.time, length);
        else
            range.to_ns = range.from_ns + length;
    } else if (request.to.empty() && range.to_ns - range.from_ns < second_ns && range.to_ns > range.from_ns) {
        range.to_ns = range.from_ns + second_ns; // room for an axis
    }
    if (range.from_ns >= range.to_ns)
        throw Error{fmt::format("the time range is empty; the records reach from {} to {} UTC",
                                format_time(survey.time.from_ns, 6), format_time(survey.time.to_ns, 6))};
    return range;
}

Span all_blocks(ForEachRun const& for_each)
{
    Span span{.first = ~std::uint64_t{0}, .end = 0};
    for_each([&](BlockRun run, bool) {
        span.first = std::min(span.first, run.first);
        span.end = std::max(span.end, run.first + run.count);
    });
    return span.first < span.end ? span : Span{};
}

/// At least `least` blocks, with a margin of 1/64 on both sides.
Span with_margin(Span span, std::uint64_t least)
{
    std::uint64_t const length = span.end - span.first;
    std::uint64_t const margin = std::max(length / 64, length < least ? (least - length + 1) / 2 : 0);
    std::uint64_t const first = span.first - std::min(span.first, margin);
    return {.first = first, .end = std::max(span.end + margin, first + least)};
}

Span choose_blocks(Boot const& boot, HeatmapRequest const& request, TimeRange range)
{
    if (request.lba == LbaChoice::given)
        return {.first = request.first_lba / sectors_per_block, .end = (request.end_lba - 1) / sectors_per_block + 1};
    ForEachRun const for_each = [&](std::function<void(BlockRun, bool)> const& visit) {
        for_each_run(boot, request, range, [&](RecordRow const& row, BlockRun run) {
            if (run.count > 0)
                visit(run, row.kind == RecordKind::write);
        });
    };
    Span const found = request.lba == LbaChoice::all ? all_blocks(for_each) : densest_blocks(for_each, densest_share);
    return with_margin(found, request.max_rows);
}

void fill(Boot const& boot, HeatmapRequest const& request, Heatmap& map)
{
    BlockCounter block_counter{CountMode::blocks};
    TimeRange const range{.from_ns = map.shape.from_ns, .to_ns = map.shape.to_ns};
    for_each_run(
        boot, request, range,
        [&](RecordRow const& row, BlockRun run) {
            bool const write = row.kind == RecordKind::write;
            Totals& totals = write ? map.write_totals : map.read_totals;
            ++totals.records;
            totals.requests += (row.flags & wire::record_flag::first_of_request) != 0 ? 1 : 0;
            totals.bytes += row.length;
            totals.accesses += run.count;
            totals.shown += (write ? map.writes : map.reads).add(row.time_ns, run);
            BlockRun const blocks = block_counter.count(row);
            totals.blocks += blocks.count;
            if (write && std::isfinite(row.entropy)) {
                map.entropy_sum.add(row.time_ns, blocks, row.entropy);
                map.entropy_blocks.add(row.time_ns, blocks);
            }
        },
        true);
}

} // namespace

Heatmap make_heatmap(Boot const& boot, HeatmapRequest const& request)
{
    Survey const survey = make_survey(boot);
    TimeRange const time = choose_time(boot, request, survey);
    Span const blocks = choose_blocks(boot, request, time);
    Heatmap map{.shape = GridShape::make(time.from_ns, time.to_ns, blocks.first, blocks.end, request.max_columns,
                                         request.max_rows)};
    if (request.lba != LbaChoice::given) // the last row of cells is complete
        map.shape.end_block = map.shape.first_block + map.shape.cell_blocks * map.shape.rows;
    map.reads = map.writes = map.entropy_sum = map.entropy_blocks = Grid{map.shape};
    fill(boot, request, map);
    for (GapSpan const& gap : survey.gaps) {
        if (gap.to_ns >= time.from_ns && gap.from_ns < time.to_ns) {
            map.gaps.push_back(gap);
            map.lost += gap.lost;
        }
    }
    for (TimeRange const& off : survey.off)
        if (off.to_ns >= time.from_ns && off.from_ns < time.to_ns)
            map.off.push_back({.from_ns = off.from_ns, .to_ns = std::min(off.to_ns, map.shape.to_ns)});
    return map;
}

} // namespace undercroft::analysis
