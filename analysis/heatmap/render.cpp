// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/render.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/heatmap/scale.hpp"
#include "analysis/heatmap/ticks.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

std::string count_unit(CountMode mode)
{
    return mode == CountMode::blocks ? "4 KiB blocks" : "requests";
}

std::string short_id(std::string const& id)
{
    return id.substr(0, 8);
}

std::string range_note(LbaChoice choice)
{
    switch (choice) {
    case LbaChoice::densest:
        return "LBA range: the smallest that holds 95 % of the reads and of the writes";
    case LbaChoice::all:
        return "LBA range: all accesses";
    case LbaChoice::given:
        return "LBA range: as asked for";
    }
    return {};
}

std::vector<std::string> notes(HeatmapRequest const& request, Heatmap const& map, bool write)
{
    Totals const& totals = write ? map.write_totals : map.read_totals;
    double const share =
        totals.accesses == 0 ? 100 : 100.0 * static_cast<double>(totals.shown) / static_cast<double>(totals.accesses);
    std::vector<std::string> lines{time_note(map.shape)};
    lines.push_back(fmt::format("{} {} {}, {} ({} 4 KiB blocks)", group_thousands(totals.requests),
                                write ? "write" : "read", totals.requests == 1 ? "request" : "requests",
                                format_bytes(static_cast<double>(totals.bytes)), group_thousands(totals.blocks)));
    lines.push_back(fmt::format("{:.4g} % of them in this LBA range", std::floor(share * 100) / 100));
    lines.push_back(fmt::format("one cell: {} × {}", format_span(map.shape.cell_ns),
                                format_bytes(static_cast<double>(map.shape.cell_blocks) * 4096)));
    lines.push_back(range_note(request.lba));
    lines.push_back(map.gaps.empty()
                        ? "no records lost"
                        : fmt::format("{} {}: {} records lost (hatched, ▼)", group_thousands(map.gaps.size()),
                                      map.gaps.size() == 1 ? "gap" : "gaps", group_thousands(map.lost)));
    if (!map.off.empty())
        lines.push_back(fmt::format("capture switched off {} {} (hatched, ▼)", group_thousands(map.off.size()),
                                    map.off.size() == 1 ? "time" : "times"));
    return lines;
}

void set_count_scale(Picture& picture, HeatmapRequest const& request, Grid const& grid, RenderOptions const& options)
{
    double const max = options.max > 0 ? options.max : std::max(grid.max(), 1.0);
    picture.legend_title = count_unit(request.count) + "\nper cell" + (options.logarithmic ? " (log)" : "");
    picture.legend = count_legend(max, grid.max() > max, options.logarithmic);
    picture.share = [&grid, max, logarithmic = options.logarithmic](std::uint32_t column,
                                                                    std::uint32_t row) -> std::optional<double> {
        double const count = grid.at(column, row);
        return count > 0 ? std::optional{colour_share(count, max, logarithmic)} : std::nullopt;
    };
}

/// Mean entropy of a cell: nothing without writes, NaN when no write has one.
std::optional<double> mean_entropy(Heatmap const& map, std::uint32_t column, std::uint32_t row)
{
    double const blocks = map.entropy_blocks.at(column, row);
    if (blocks > 0)
        return map.entropy_sum.at(column, row) / blocks;
    return map.writes.at(column, row) > 0 ? std::optional{std::nan("")} : std::nullopt;
}

void set_entropy_scale(Picture& picture, Heatmap const& map)
{
    picture.legend_title = "mean entropy\n(bits / 8)";
    picture.legend = entropy_legend();
    picture.share = [&map](std::uint32_t column, std::uint32_t row) { return mean_entropy(map, column, row); };
    picture.unknown_in_legend = map.writes.sum() > 0 && map.entropy_blocks.sum() < map.writes.sum();
}

nlohmann::json describe_totals(Totals const& totals)
{
    return {{"records", totals.records}, {"requests", totals.requests}, {"bytes", totals.bytes},
            {"blocks", totals.blocks},   {"accesses", totals.accesses}, {"shown", totals.shown}};
}

} // namespace

std::string_view to_string(MapKind kind)
{
    return kind == MapKind::read ? "read" : kind == MapKind::write ? "write" : "write-entropy";
}

Picture make_picture(Boot const& boot, HeatmapRequest const& request, Heatmap const& map, MapKind kind,
                     RenderOptions const& options)
{
    bool const write = kind != MapKind::read;
    Picture picture{.shape = map.shape, .gaps = map.gaps};
    picture.gaps.insert(picture.gaps.end(), map.off.begin(), map.off.end());
    std::ranges::sort(picture.gaps, {}, &GapSpan::from_ns);
    picture.gap_label = map.off.empty() ? "lost" : map.gaps.empty() ? "off" : "lost, off";
    picture.title = fmt::format("{}  ·  machine {}  ·  boot {}",
                                kind == MapKind::read    ? "Disk reads"
                                : kind == MapKind::write ? "Disk writes"
                                                         : "Entropy of disk writes",
                                short_id(boot.machine), short_id(boot.id));
    if (request.source)
        picture.title += fmt::format("  ·  source {}:{}", *request.source >> 8, *request.source & 0xFF);
    picture.notes = notes(request, map, write);
    picture.empty_note = fmt::format("no {} in this time and LBA range", write ? "writes" : "reads");
    if (kind == MapKind::write_entropy)
        set_entropy_scale(picture, map);
    else
        set_count_scale(picture, request, write ? map.writes : map.reads, options);
    return picture;
}

nlohmann::json describe(Boot const& boot, HeatmapRequest const& request, Heatmap const& map)
{
    GridShape const& shape = map.shape;
    nlohmann::json off = nlohmann::json::array();
    for (GapSpan const& span : map.off)
        off.push_back({{"from_ns", span.from_ns}, {"to_ns", span.to_ns}});
    constexpr std::array<char const*, 3> choices{"densest", "all", "given"};
    return {{"format", 1},
            {"machine", boot.machine},
            {"boot", boot.id},
            {"source", request.source ? nlohmann::json(*request.source) : nlohmann::json{}},
            {"count", request.count == CountMode::blocks ? "blocks" : "requests"},
            {"time", time_json(shape)},
            {"lba",
             {{"choice", choices[static_cast<std::size_t>(request.lba)]},
              {"first", shape.first_block * sectors_per_block},
              {"end", shape.end_block * sectors_per_block},
              {"cell_sectors", shape.cell_blocks * sectors_per_block},
              {"rows", shape.rows}}},
            {"totals", {{"read", describe_totals(map.read_totals)}, {"write", describe_totals(map.write_totals)}}},
            {"lost", map.lost},
            {"gaps", gaps_json(map.gaps)},
            {"capture_off", std::move(off)}};
}

nlohmann::json grids(Heatmap const& map)
{
    auto const counts = [&](Grid const& grid) {
        return grid_rows(map.shape, [&](std::uint32_t column, std::uint32_t row) {
            return static_cast<std::uint64_t>(grid.at(column, row));
        });
    };
    auto const entropy = [&](std::uint32_t column, std::uint32_t row) -> nlohmann::json {
        double const value = mean_entropy(map, column, row).value_or(std::nan(""));
        return std::isnan(value) ? nlohmann::json{} : nlohmann::json(std::round(value * 1e6) / 1e6);
    };
    return {
        {"read", counts(map.reads)}, {"write", counts(map.writes)}, {"write_entropy", grid_rows(map.shape, entropy)}};
}

} // namespace undercroft::analysis
