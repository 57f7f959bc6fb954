// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/heatmap.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "analysis/heatmap/survey.hpp"
#include "wire/record.hpp"

namespace undercroft::analysis {
namespace {

constexpr Columns access_columns{.address = true, .length = true, .source = true, .flags = true};

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

TimeRange choose_time(Boot const& boot, HeatmapRequest const& request, Survey const& survey)
{
    return choose_time({request.from, request.to, request.window}, survey, [&](auto const& visit) {
        for_each_run(boot, request, survey.time,
                     [&](RecordRow const& row, BlockRun run) { visit(row.time_ns, static_cast<double>(run.count)); });
    });
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
    Survey const survey = make_survey(boot.files, boot.folder);
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
