// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/ticks.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

/// Multiples of `step` in [first, end].
std::vector<double> multiples(double first, double end, double step)
{
    std::vector<double> result;
    for (double k = std::ceil(first / step - 1e-9); k * step <= end + step * 1e-9; ++k)
        result.push_back(k * step + 0.0); // + 0.0 turns -0.0 into 0.0
    return result;
}

int decimals_for(double step)
{
    return std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
}

Axis second_axis(std::int64_t from_ns, std::int64_t length_ns, int most)
{
    struct Unit {
        std::int64_t from_ns; ///< shortest range it is used for
        double ns;
        char const* name;
    };
    constexpr std::array<Unit, 4> units{
        {{2'000'000'000, 1e9, "s"}, {2'000'000, 1e6, "ms"}, {2'000, 1e3, "µs"}, {0, 1, "ns"}}};
    Unit const unit = *std::ranges::find_if(units, [&](Unit const& u) { return length_ns >= u.from_ns; });
    double const end = static_cast<double>(length_ns) / unit.ns;
    double const step = nice_step(end, most);
    Axis axis{.title = fmt::format("time since {} UTC ({})", format_time(from_ns, 3), unit.name)};
    for (double const value : multiples(0, end, step))
        axis.ticks.push_back({.position = value * unit.ns, .label = fmt::format("{:.{}f}", value, decimals_for(step))});
    return axis;
}

Axis clock_axis(std::int64_t from_ns, std::int64_t to_ns, int most)
{
    constexpr std::array<std::int64_t, 19> steps_s{60,     120,     300,     600,     900,     1800,   3600,
                                                   7200,   10800,   21600,   43200,   86400,   172800, 432000,
                                                   864000, 1728000, 4320000, 8640000, 31536000};
    auto const fits = [&](std::int64_t step) { return (to_ns - from_ns) / (step * second_ns) < most; };
    auto const found = std::ranges::find_if(steps_s, fits);
    std::int64_t const step = (found == steps_s.end() ? 10 * steps_s.back() : *found) * second_ns;
    bool const several_days = format_date(from_ns) != format_date(to_ns - 1);
    Axis axis{.title = several_days ? fmt::format("UTC, {} to {}", format_date(from_ns), format_date(to_ns - 1))
                                    : fmt::format("UTC on {}", format_date(from_ns))};
    bool first = true;
    for (std::int64_t at = (from_ns + step - 1) / step * step; at <= to_ns; at += step) {
        bool const date = several_days && (first || at % (86400 * second_ns) == 0);
        std::string const clock = format_clock(at, 0).substr(0, 5);
        bool const only_date = step >= 86400 * second_ns;
        axis.ticks.push_back({.position = static_cast<double>(at - from_ns),
                              .label = only_date ? format_date(at) : clock + (date ? "\n" + format_date(at) : "")});
        first = false;
    }
    return axis;
}

std::string count_label(double value)
{
    return value < 10000  ? fmt::format("{:g}", value)
           : value < 1e15 ? group_thousands(static_cast<std::uint64_t>(std::llround(value)))
                          : fmt::format("{:.3g}", value);
}

} // namespace

double nice_step(double length, int most)
{
    double const least = length / std::max(most, 1);
    double const power = std::pow(10, std::floor(std::log10(least)));
    for (double const factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= least * (1 - 1e-9))
            return factor * power;
    }
    return 10 * power;
}

std::string group_thousands(std::uint64_t value)
{
    std::string text = std::to_string(value);
    for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
        text.insert(static_cast<std::size_t>(at), ",");
    return text;
}

Axis lba_axis(double first, double end, int most)
{
    Axis axis{.title = "LBA (512-byte sectors)"};
    for (double const value : multiples(first, end, std::max(1.0, nice_step(end - first, most))))
        axis.ticks.push_back(
            {.position = value, .label = group_thousands(static_cast<std::uint64_t>(std::llround(value)))});
    return axis;
}

Axis offset_axis(double first, double end, int most)
{
    constexpr std::array<std::pair<double, char const*>, 4> units{
        {{2147483648.0, "TiB"}, {2097152.0, "GiB"}, {2048.0, "MiB"}, {2.0, "KiB"}}};
    // The largest unit in which the end is a sizeable number and labels need at most two decimals.
    for (auto const& [sectors, name] : units) {
        double const step = nice_step((end - first) / sectors, most);
        double const least = sectors > 2097152.0 ? 8 : 1;
        if ((end / sectors < least || step < 0.01) && sectors > 2)
            continue;
        Axis axis{.title = fmt::format("offset ({})", name)};
        int const decimals = decimals_for(step);
        for (double const value : multiples(first / sectors, end / sectors, step))
            axis.ticks.push_back({.position = value * sectors, .label = fmt::format("{:.{}f}", value, decimals)});
        return axis;
    }
    return {};
}

Axis time_axis(std::int64_t from_ns, std::int64_t to_ns, int most)
{
    return to_ns - from_ns <= 600 * second_ns ? second_axis(from_ns, to_ns - from_ns, most)
                                              : clock_axis(from_ns, to_ns, most);
}

std::vector<Tick> count_ticks(double max, bool logarithmic, int most)
{
    std::vector<Tick> ticks;
    if (!logarithmic) {
        for (double const value : multiples(0, max, std::max(1.0, nice_step(max, most))))
            ticks.push_back({.position = value, .label = count_label(value)});
        return ticks;
    }
    double const decades = std::log10(std::max(max, 1.0));
    double const every = std::max(1.0, std::ceil(decades / most));
    for (double exponent = 0; exponent <= decades + 1e-9; exponent += every) {
        double const power = std::pow(10, exponent);
        for (double const factor : decades < 3 ? std::vector{1.0, 2.0, 5.0} : std::vector{1.0}) {
            if (factor * power <= max * (1 + 1e-9))
                ticks.push_back({.position = factor * power, .label = count_label(factor * power)});
        }
    }
    return ticks;
}

} // namespace undercroft::analysis
