// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/scale.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "analysis/heatmap/ticks.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {

std::string format_bytes(double bytes)
{
    constexpr std::array<char const*, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
    std::size_t unit = 0;
    double value = bytes / 1024;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit)
        value /= 1024;
    return fmt::format("{:.4g} {}", value, units[unit]);
}

double colour_share(double count, double max, bool logarithmic)
{
    if (count >= max)
        return 1;
    return logarithmic ? std::log(std::max(count, 1.0)) / std::log(max) : count / max;
}

Legend count_legend(double max, bool clamped, bool logarithmic)
{
    Legend legend;
    for (Tick const& tick : count_ticks(max, logarithmic, 8)) {
        double const share = logarithmic && max <= 1 ? 0 : colour_share(tick.position, max, logarithmic);
        if (share < 0.96)
            legend.emplace_back(share, tick.label);
    }
    legend.emplace_back(1, (clamped ? "≥ " : "") + group_thousands(static_cast<std::uint64_t>(std::llround(max))));
    return legend;
}

Legend entropy_legend()
{
    Legend legend;
    for (int tenth = 0; tenth <= 10; tenth += 2)
        legend.emplace_back(tenth / 10.0, fmt::format("{:.1f}", tenth / 10.0));
    return legend;
}

std::string time_note(GridShape const& shape)
{
    int const decimals = shape.to_ns - shape.from_ns < 600 * second_ns ? 3 : 0;
    bool const one_day = format_date(shape.from_ns) == format_date(shape.to_ns);
    return fmt::format("{} to {} UTC ({})", format_time(shape.from_ns, decimals),
                       one_day ? format_clock(shape.to_ns, decimals) : format_time(shape.to_ns, decimals),
                       format_span(shape.to_ns - shape.from_ns));
}

nlohmann::json time_json(GridShape const& shape)
{
    return {{"from_ns", shape.from_ns},          {"to_ns", shape.to_ns},     {"from", format_time(shape.from_ns, 9)},
            {"to", format_time(shape.to_ns, 9)}, {"cell_ns", shape.cell_ns}, {"columns", shape.columns}};
}

nlohmann::json gaps_json(std::vector<GapSpan> const& gaps)
{
    nlohmann::json list = nlohmann::json::array();
    for (GapSpan const& gap : gaps)
        list.push_back({{"from_ns", gap.from_ns}, {"to_ns", gap.to_ns}, {"lost", gap.lost}});
    return list;
}

} // namespace undercroft::analysis
