// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/render.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/heatmap/ticks.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

std::string format_bytes(double bytes)
{
    constexpr std::array<char const*, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
    std::size_t unit = 0;
    double value = bytes / 1024;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit)
        value /= 1024;
    return fmt::format("{:.4g} {}", value, units[unit]);
}

std::string count_unit(CountMode mode)
{
    return mode == CountMode::blocks ? "4 KiB blocks" : "requests";
}

double colour_share(double count, double max, bool logarithmic)
{
    if (count >= max)
        return 1;
    return logarithmic ? std::log(std::max(count, 1.0)) / std::log(max) : count / max;
}

std::vector<std::pair<double, std::string>> count_legend(double max, bool clamped, bool logarithmic)
{
    std::vector<std::pair<double, std::string>> legend;
    for (Tick const& tick : count_ticks(max, logarithmic, 8)) {
        double const share = logarithmic && max <= 1 ? 0 : colour_share(tick.position, max, logarithmic);
        if (share < 0.96)
            legend.emplace_back(share, tick.label);
    }
    legend.emplace_back(1, (clamped ? "≥ " : "") + group_thousands(static_cast<std::uint64_t>(std::llround(max))));
    return legend;
}

std::string short_id(std::string const& id)
{
    return id.substr(0, 8);
}

std::string time_note(GridShape const& shape)
{
    int const decimals = shape.to_ns - shape.from_ns < 600 * second_ns ? 3 : 0;
    bool const one_day = format_date(shape.from_ns) == format_date(shape.to_ns);
    return fmt::format("{} to {} UTC ({})", format_time(shape.from_ns, decimals),
                       one_day ? format_clock(shape.to_ns, decimals) : format_time(shape.to_ns, decimals),
                       format_span(shape.to_ns - shape.from_ns));
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
    for (int tenth = 0; tenth <= 10; tenth += 2)
        picture.legend.emplace_back(tenth / 10.0, fmt::format("{:.1f}", tenth / 10.0));
    picture.share = [&map](std::uint32_t column, std::uint32_t row) { return mean_entropy(map, column, row); };
    picture.unknown_in_legend = map.writes.sum() > 0 && map.entropy_blocks.sum() < map.writes.sum();
}

template <typename Value>
nlohmann::json grid_rows(GridShape const& shape, Value value)
{
    nlohmann::json rows = nlohmann::json::array();
    for (std::uint32_t row = 0; row < shape.rows; ++row) {
        nlohmann::json line = nlohmann::json::array();
        for (std::uint32_t column = 0; column < shape.columns; ++column)
            line.push_back(value(column, row));
        rows.push_back(std::move(line));
    }
    return rows;
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
    nlohmann::json gaps = nlohmann::json::array();
    for (GapSpan const& gap : map.gaps)
        gaps.push_back({{"from_ns", gap.from_ns}, {"to_ns", gap.to_ns}, {"lost", gap.lost}});
    nlohmann::json off = nlohmann::json::array();
    for (GapSpan const& span : map.off)
        off.push_back({{"from_ns", span.from_ns}, {"to_ns", span.to_ns}});
    constexpr std::array<char const*, 3> choices{"densest", "all", "given"};
    return {{"format", 1},
            {"machine", boot.machine},
            {"boot", boot.id},
            {"source", request.source ? nlohmann::json(*request.source) : nlohmann::json{}},
            {"count", request.count == CountMode::blocks ? "blocks" : "requests"},
            {"time",
             {{"from_ns", shape.from_ns},
              {"to_ns", shape.to_ns},
              {"from", format_time(shape.from_ns, 9)},
              {"to", format_time(shape.to_ns, 9)},
              {"cell_ns", shape.cell_ns},
              {"columns", shape.columns}}},
            {"lba",
             {{"choice", choices[static_cast<std::size_t>(request.lba)]},
              {"first", shape.first_block * sectors_per_block},
              {"end", shape.end_block * sectors_per_block},
              {"cell_sectors", shape.cell_blocks * sectors_per_block},
              {"rows", shape.rows}}},
            {"totals", {{"read", describe_totals(map.read_totals)}, {"write", describe_totals(map.write_totals)}}},
            {"lost", map.lost},
            {"gaps", std::move(gaps)},
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
