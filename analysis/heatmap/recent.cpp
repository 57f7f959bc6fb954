// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/recent.hpp"

#include <algorithm>
#include <cmath>

#include "wire/record.hpp"

namespace undercroft::analysis {
namespace {

/// The last block that a picture is made for: 2^48 sectors, all that ATA can name.
constexpr std::uint64_t most_blocks = (std::uint64_t{1} << 48) / sectors_per_block;

bool is_shown(Access const& access, std::int64_t from_ns, std::int64_t to_ns)
{
    return (access.kind == TraceKind::read || access.kind == TraceKind::write) && access.bytes != 0 &&
           access.time_ns >= from_ns && access.time_ns < to_ns && access.address / sectors_per_block < most_blocks;
}

BlockRun run_of(Access const& access)
{
    std::uint64_t const first = access.address / sectors_per_block;
    std::uint64_t const end = (access.address * 512 + access.bytes + 4095) / 4096;
    return {.first = first, .count = std::max(end, first + 1) - first};
}

void count(Access const& access, Heatmap& map)
{
    bool const write = access.kind == TraceKind::write;
    BlockRun const run = run_of(access);
    Totals& totals = write ? map.write_totals : map.read_totals;
    ++totals.records;
    bool const part = access.flags != 0 && (access.flags & wire::record_flag::first_of_request) == 0;
    totals.requests += part ? 0 : 1;
    totals.bytes += access.bytes;
    totals.blocks += run.count;
    totals.accesses += run.count;
    totals.shown += (write ? map.writes : map.reads).add(access.time_ns, run);
    if (write && std::isfinite(access.entropy)) {
        map.entropy_sum.add(access.time_ns, run, static_cast<double>(access.entropy));
        map.entropy_blocks.add(access.time_ns, run);
    }
}

} // namespace

Heatmap make_recent_heatmap(std::span<Access const> accesses, std::int64_t from_ns, std::int64_t to_ns,
                            HeatmapRequest& request)
{
    std::uint64_t first = most_blocks;
    std::uint64_t end = 0;
    for (Access const& access : accesses)
        if (is_shown(access, from_ns, to_ns)) {
            first = std::min(first, run_of(access).first);
            end = std::max(end, run_of(access).first + run_of(access).count);
        }
    if (first >= end)
        first = 0;
    end = std::max(end, first + request.max_rows);
    request.lba = LbaChoice::all;
    Heatmap map{.shape = GridShape::make(from_ns, to_ns, first, end, request.max_columns, request.max_rows)};
    map.shape.end_block = map.shape.first_block + map.shape.cell_blocks * map.shape.rows;
    map.reads = map.writes = map.entropy_sum = map.entropy_blocks = Grid{map.shape};
    for (Access const& access : accesses)
        if (is_shown(access, from_ns, to_ns))
            count(access, map);
    return map;
}

} // namespace undercroft::analysis
