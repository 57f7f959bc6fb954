// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/memory_render.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/heatmap/scale.hpp"
#include "analysis/heatmap/ticks.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::array<char const*, access_kinds> kind_words{"read", "write", "execute"};

/// Positions as the picture counts them: 512-byte units of the pages' numbers.
double position_of(std::uint64_t page)
{
    return static_cast<double>(page) * static_cast<double>(sectors_per_block);
}

/// Guest-physical addresses: where RAM begins behind a hole, and round ones in between where there is room.
Axis address_axis(RamMap const& ram, GridShape const& shape, int most)
{
    struct Mark {
        std::uint64_t page{};
        bool fold{};
    };
    std::uint64_t const pages = shape.end_block - shape.first_block;
    std::uint64_t const step = std::bit_ceil(std::max<std::uint64_t>(pages / static_cast<std::uint64_t>(most), 1));
    std::vector<Mark> marks;
    for (std::uint64_t const fold : ram.folds())
        if (fold >= shape.first_block && fold < shape.end_block)
            marks.push_back({.page = fold, .fold = true});
    for (AddressRange const& region : ram.regions()) {
        std::uint64_t const step_bytes = step * page_bytes;
        std::uint64_t const from = std::max(region.first, ram.address_of(shape.first_block));
        for (std::uint64_t at = (from + step_bytes - 1) / step_bytes * step_bytes; at < region.end; at += step_bytes) {
            std::uint64_t const page = ram.page_of(at).value();
            if (page >= shape.end_block)
                break;
            marks.push_back({.page = page});
        }
    }
    // Where two are too close, the hole's edge is the one to keep.
    std::ranges::sort(marks, [](Mark const& a, Mark const& b) { return a.page < b.page; });
    auto const near = [&](Mark const& a, Mark const& b) { return b.page - a.page < step * 2 / 5 + 1; };
    Axis axis{.title = "guest-physical address (holes left out)"};
    std::vector<Mark> kept;
    for (Mark const& mark : marks) {
        if (!kept.empty() && near(kept.back(), mark)) {
            if (mark.fold && !kept.back().fold)
                kept.back() = mark;
            continue;
        }
        kept.push_back(mark);
    }
    for (Mark const& mark : kept)
        axis.ticks.push_back(
            {.position = position_of(mark.page), .label = fmt::format("{:#x}", ram.address_of(mark.page))});
    return axis;
}

std::string unit_of(AccessKind kind)
{
    switch (kind) {
    case AccessKind::read:
        return "page reads";
    case AccessKind::write:
        return "page writes";
    case AccessKind::execute:
        return "page executions";
    }
    return {};
}

std::string range_note(LbaChoice choice)
{
    switch (choice) {
    case LbaChoice::densest:
        return "address range: the smallest that holds 95 % of the accesses";
    case LbaChoice::all:
        return "address range: all RAM";
    case LbaChoice::given:
        return "address range: as asked for";
    }
    return {};
}

std::vector<std::string> notes(HeatmapRequest const& request, MemoryHeatmap const& map, AccessKind kind)
{
    MemoryTotals const& totals = map.totals.at(static_cast<std::size_t>(kind));
    std::vector<std::string> lines{time_note(map.shape)};
    lines.push_back(
        fmt::format("{} {}{}", group_thousands(totals.records), unit_of(kind),
                    totals.outside == 0 ? "" : fmt::format(", {} outside of RAM", group_thousands(totals.outside))));
    lines.push_back(fmt::format("looked at: {:.3g} % of the picture", map.looked_share(kind) * 100));
    lines.push_back(fmt::format("one cell: {} × {}", format_span(map.shape.cell_ns),
                                format_bytes(static_cast<double>(map.shape.cell_blocks * page_bytes))));
    lines.push_back(range_note(request.lba));
    if (!map.ram_known)
        lines.emplace_back("what is RAM is not recorded: holes are not left out");
    lines.push_back(map.gaps.empty()
                        ? "no records lost"
                        : fmt::format("{} {}: {} records lost (hatched, ▼)", group_thousands(map.gaps.size()),
                                      map.gaps.size() == 1 ? "gap" : "gaps", group_thousands(map.lost)));
    return lines;
}

std::optional<double> mean_entropy(MemoryHeatmap const& map, std::uint32_t column, std::uint32_t row)
{
    double const count = map.entropy_count.at(column, row);
    if (count > 0)
        return map.entropy_sum.at(column, row) / count;
    bool const written = map.counts.at(static_cast<std::size_t>(AccessKind::write)).at(column, row) > 0;
    return written ? std::optional{std::nan("")} : std::nullopt;
}

void set_count_scale(Picture& picture, MemoryHeatmap const& map, AccessKind kind, RenderOptions const& options)
{
    Grid const& grid = map.counts.at(static_cast<std::size_t>(kind));
    double const max = options.max > 0 ? options.max : std::max(grid.max(), 1.0);
    picture.legend_title = unit_of(kind) + "\nper cell" + (options.logarithmic ? " (log)" : "");
    picture.legend = count_legend(max, grid.max() > max, options.logarithmic);
    picture.share = [&grid, max, logarithmic = options.logarithmic](std::uint32_t column,
                                                                    std::uint32_t row) -> std::optional<double> {
        double const count = grid.at(column, row);
        return count > 0 ? std::optional{colour_share(count, max, logarithmic)} : std::nullopt;
    };
}

void set_entropy_scale(Picture& picture, MemoryHeatmap const& map)
{
    picture.legend_title = "mean entropy\n(bits / 8)";
    picture.legend = entropy_legend();
    picture.share = [&map](std::uint32_t column, std::uint32_t row) { return mean_entropy(map, column, row); };
    picture.unknown_in_legend = map.entropy_count.sum() < map.counts.at(1).sum();
}

double rounded(double value)
{
    return std::round(value * 1e6) / 1e6;
}

} // namespace

std::string_view to_string(MemoryMapKind kind)
{
    constexpr std::array<std::string_view, 4> names{"memory-read", "memory-write", "memory-execute",
                                                    "memory-write-entropy"};
    return names.at(static_cast<std::size_t>(kind));
}

Picture make_memory_picture(Boot const& boot, HeatmapRequest const& request, MemoryHeatmap const& map,
                            MemoryMapKind kind, RenderOptions const& options)
{
    constexpr std::array<char const*, 4> titles{"Memory reads", "Memory writes", "Memory executions",
                                                "Entropy of memory writes"};
    AccessKind const access = kind == MemoryMapKind::write_entropy ? AccessKind::write : static_cast<AccessKind>(kind);
    Picture picture{.shape = map.shape, .gaps = map.gaps};
    picture.gap_label = "lost";
    picture.title = fmt::format("{}  ·  machine {}  ·  boot {}", titles.at(static_cast<std::size_t>(kind)),
                                boot.machine.substr(0, 8), boot.id.substr(0, 8));
    picture.notes = notes(request, map, access);
    picture.empty_note = fmt::format("no {} seen in this time and address range", unit_of(access));
    picture.looked_at = [&map, access](std::uint32_t column, std::uint32_t row) {
        return map.looked_share(access, column, row);
    };
    picture.left_axis = [&map](int most) { return address_axis(map.ram, map.shape, most); };
    picture.right_axis = [&map](int most) {
        Axis axis = offset_axis(position_of(map.shape.first_block), position_of(map.shape.end_block), most);
        axis.title = "RAM below " + axis.title.substr(axis.title.find('('));
        return axis;
    };
    for (std::uint64_t const fold : map.ram.folds())
        if (fold > map.shape.first_block && fold < map.shape.end_block)
            picture.folds.push_back(position_of(fold));
    if (kind == MemoryMapKind::write_entropy)
        set_entropy_scale(picture, map);
    else
        set_count_scale(picture, map, access, options);
    return picture;
}

nlohmann::json describe_memory(Boot const& boot, HeatmapRequest const& request, MemoryHeatmap const& map)
{
    constexpr std::array<char const*, 3> choices{"densest", "all", "given"};
    auto totals = nlohmann::json::object();
    for (std::size_t kind = 0; kind < access_kinds; ++kind)
        totals[kind_words.at(kind)] = {{"records", map.totals.at(kind).records},
                                       {"outside", map.totals.at(kind).outside},
                                       {"shown", rounded(map.totals.at(kind).shown)},
                                       {"looked_at", rounded(map.looked_share(static_cast<AccessKind>(kind)))}};
    auto regions = nlohmann::json::array();
    for (AddressRange const& region : map.ram.regions())
        regions.push_back({region.first, region.end});
    std::uint64_t const last = map.shape.end_block - 1;
    return {{"format", 1},
            {"stream", "memory"},
            {"machine", boot.machine},
            {"boot", boot.id},
            {"time", time_json(map.shape)},
            {"pages",
             {{"choice", choices.at(static_cast<std::size_t>(request.lba))},
              {"first", map.shape.first_block},
              {"end", map.shape.end_block},
              {"first_address", map.ram.address_of(map.shape.first_block)},
              {"end_address", map.ram.address_of(last) + page_bytes},
              {"cell_pages", map.shape.cell_blocks},
              {"rows", map.shape.rows}}},
            {"ram", regions},
            {"ram_known", map.ram_known},
            {"totals", totals},
            {"lost", map.lost},
            {"gaps", gaps_json(map.gaps)}};
}

nlohmann::json memory_grids(MemoryHeatmap const& map)
{
    auto grids = nlohmann::json::object();
    for (std::size_t kind = 0; kind < access_kinds; ++kind) {
        grids[kind_words.at(kind)] = grid_rows(map.shape, [&](std::uint32_t column, std::uint32_t row) {
            return rounded(map.counts.at(kind).at(column, row));
        });
        grids[std::string{"looked_"} + kind_words.at(kind)] =
            grid_rows(map.shape, [&](std::uint32_t column, std::uint32_t row) {
                return rounded(map.looked_share(static_cast<AccessKind>(kind), column, row));
            });
    }
    grids["write_entropy"] = grid_rows(map.shape, [&](std::uint32_t column, std::uint32_t row) -> nlohmann::json {
        double const value = mean_entropy(map, column, row).value_or(std::nan(""));
        return std::isnan(value) ? nlohmann::json{} : nlohmann::json(rounded(value));
    });
    return grids;
}

} // namespace undercroft::analysis
