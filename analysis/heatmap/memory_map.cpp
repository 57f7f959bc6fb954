// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/memory_map.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analysis/heatmap/survey.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr Columns columns{
    .address = true, .length = true, .source = true, .entropy = true, .flags = true, .request = true};

std::vector<AccessKind> kinds_of(RecordKind kind)
{
    switch (kind) {
    case RecordKind::memory_read:
        return {AccessKind::read};
    case RecordKind::memory_write:
        return {AccessKind::write};
    case RecordKind::memory_read_write:
        return {AccessKind::read, AccessKind::write};
    case RecordKind::memory_execute:
        return {AccessKind::execute};
    default:
        return {};
    }
}

/// Pages of an access; count 0: outside of RAM.
BlockRun pages_of(RamMap const& ram, RecordRow const& row)
{
    std::uint64_t const first = row.address - row.address % std::max<std::uint64_t>(row.length, 1);
    if (row.length > page_bytes) {
        std::uint64_t const from = ram.page_from(first);
        return {.first = from, .count = ram.page_from(first + row.length) - from};
    }
    std::optional<std::uint64_t> const page = ram.page_of(row.address);
    return page ? BlockRun{.first = *page, .count = 1} : BlockRun{};
}

/// What the records say is RAM; without, everything up to the highest access.
void find_ram(Boot const& boot, MemoryHeatmap& map)
{
    std::vector<AddressRange> regions;
    std::uint64_t highest = 0;
    scan_records(boot.memory_files, {.address = true, .length = true}, {}, [&](RecordRow const& row) {
        if (row.kind == RecordKind::memory_region)
            regions.push_back(range_of(row));
        else if (is_memory_access(row.kind))
            highest = std::max(highest, row.address);
        return Visit::next;
    });
    map.ram = RamMap{regions};
    map.ram_known = map.ram.pages() != 0;
    constexpr std::uint64_t most = std::uint64_t{1} << 52; // no processor has more
    if (!map.ram_known)
        map.ram = RamMap{{{.first = 0, .end = std::min(highest, most) / page_bytes * page_bytes + page_bytes}}};
}

void for_each_access(Boot const& boot, RamMap const& ram, TimeRange time,
                     std::function<void(RecordRow const&, BlockRun)> const& visit)
{
    scan_records(boot.memory_files, {.address = true, .length = true}, {}, [&](RecordRow const& row) {
        if (is_memory_access(row.kind) && row.time_ns >= time.from_ns && row.time_ns < time.to_ns)
            visit(row, pages_of(ram, row));
        return Visit::next;
    });
}

Span choose_pages(Boot const& boot, HeatmapRequest const& request, RamMap const& ram, TimeRange time)
{
    Span span{.first = 0, .end = ram.pages()};
    if (request.lba == LbaChoice::given) {
        span = {.first = ram.page_from(request.first_lba), .end = ram.page_from(request.end_lba)};
        if (span.first >= span.end)
            throw Error{"there is no RAM in --address-range"};
    } else if (request.lba == LbaChoice::densest) {
        Span const found = densest_blocks(
            [&](std::function<void(BlockRun, bool)> const& visit) {
                for_each_access(boot, ram, time, [&](RecordRow const& row, BlockRun run) {
                    if (run.count != 0)
                        visit(run, row.kind == RecordKind::memory_write || row.kind == RecordKind::memory_read_write);
                });
            },
            densest_share);
        std::uint64_t const margin = std::max<std::uint64_t>((found.end - found.first) / 64, 1);
        if (found.first < found.end)
            span = {.first = found.first - std::min(found.first, margin),
                    .end = std::min(found.end + margin, ram.pages())};
    }
    return span;
}

/// Spreads a stretch that was looked at over the cells.
void add_looked(Grid& grid, std::uint64_t first, std::uint64_t end, std::int64_t from_ns, std::int64_t to_ns)
{
    GridShape const& shape = grid.shape();
    from_ns = std::max(from_ns, shape.from_ns);
    to_ns = std::min(to_ns, shape.to_ns);
    for (std::int64_t at = from_ns; at < to_ns;) {
        std::int64_t const left = shape.cell_ns - (at - shape.from_ns) % shape.cell_ns;
        std::int64_t const taken = std::min(left, to_ns - at);
        grid.add(at, {.first = first, .count = end - first}, static_cast<double>(taken));
        at += taken;
    }
}

void add_access(MemoryHeatmap& map, RecordRow const& row)
{
    BlockRun const run = pages_of(map.ram, row);
    bool const inside = row.time_ns >= map.shape.from_ns && row.time_ns < map.shape.to_ns;
    for (AccessKind const kind : kinds_of(row.kind)) {
        if (!inside)
            break;
        auto const index = static_cast<std::size_t>(kind);
        MemoryTotals& totals = map.totals.at(index);
        ++totals.records;
        totals.outside += run.count == 0 ? 1 : 0;
        if (run.count == 0)
            continue;
        double const weight = 1.0 / static_cast<double>(run.count);
        totals.shown += static_cast<double>(map.counts.at(index).add(row.time_ns, run, weight)) * weight;
        if (kind == AccessKind::write && std::isfinite(row.entropy)) {
            map.entropy_sum.add(row.time_ns, run, row.entropy * weight);
            map.entropy_count.add(row.time_ns, run, weight);
        }
    }
}

void fill(Boot const& boot, MemoryHeatmap& map, std::int64_t last_ns)
{
    Coverage coverage{map.ram, [&](AccessKind kind, std::uint64_t first, std::uint64_t end, std::int64_t from_ns,
                                   std::int64_t to_ns) {
                          add_looked(map.looked.at(static_cast<std::size_t>(kind)), first, end, from_ns, to_ns);
                      }};
    scan_records(boot.memory_files, columns, {}, [&](RecordRow const& row) {
        coverage.take(row);
        if (is_memory_access(row.kind))
            add_access(map, row);
        return Visit::next;
    });
    coverage.finish(last_ns);
}

} // namespace

double MemoryHeatmap::looked_share(AccessKind kind, std::uint32_t column, std::uint32_t row) const
{
    std::int64_t const from_ns = shape.from_ns + shape.cell_ns * column;
    std::uint64_t const first = shape.first_block + shape.cell_blocks * row;
    auto const ns = static_cast<double>(std::min(shape.cell_ns, shape.to_ns - from_ns));
    auto const pages = static_cast<double>(std::min(shape.cell_blocks, shape.end_block - first));
    return std::min(looked.at(static_cast<std::size_t>(kind)).at(column, row) / (ns * pages), 1.0);
}

double MemoryHeatmap::looked_share(AccessKind kind) const
{
    double sum = 0;
    for (std::uint32_t row = 0; row < shape.rows; ++row)
        for (std::uint32_t column = 0; column < shape.columns; ++column)
            sum += looked_share(kind, column, row);
    return sum / static_cast<double>(shape.cells());
}

MemoryHeatmap make_memory_heatmap(Boot const& boot, HeatmapRequest const& request)
{
    Survey const survey = make_survey(boot.memory_files, boot.folder / "stream=memory");
    MemoryHeatmap map;
    find_ram(boot, map);
    TimeRange const time = choose_time({request.from, request.to, request.window}, survey, [&](auto const& visit) {
        for_each_access(boot, map.ram, survey.time, [&](RecordRow const& row, BlockRun) { visit(row.time_ns, 1); });
    });
    Span const pages = choose_pages(boot, request, map.ram, time);
    map.shape =
        GridShape::make(time.from_ns, time.to_ns, pages.first, pages.end, request.max_columns, request.max_rows);
    map.counts.fill(Grid{map.shape});
    map.looked.fill(Grid{map.shape});
    map.entropy_sum = map.entropy_count = Grid{map.shape};
    fill(boot, map, survey.time.to_ns);
    for (GapSpan const& gap : survey.gaps) {
        if (gap.to_ns >= time.from_ns && gap.from_ns < time.to_ns) {
            map.gaps.push_back(gap);
            map.lost += gap.lost;
        }
    }
    return map;
}

} // namespace undercroft::analysis
