// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/read/times.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr auto latest_whole_s = time_limit_ns / second_ns;
constexpr double latest_s = static_cast<double>(latest_whole_s);

/// Decimal seconds to nanoseconds without the rounding of a double.
std::optional<std::int64_t> parse_decimal(std::string_view text, std::int64_t unit_ns)
{
    std::size_t const point = text.find('.');
    std::string_view const whole = text.substr(0, point);
    std::string_view const fraction = point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
    if (whole.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos)
        return {};
    std::uint64_t count = 0;
    auto const [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), count);
    if (error != std::errc{} || end != whole.data() + whole.size() ||
        static_cast<double>(count) * static_cast<double>(unit_ns) / 1e9 >= latest_s)
        return {};
    std::int64_t result = static_cast<std::int64_t>(count) * unit_ns;
    std::int64_t digit_ns = unit_ns;
    for (char const c : fraction) {
        if (c == '.')
            return {};
        digit_ns /= 10;
        result += (c - '0') * digit_ns;
    }
    return result;
}

std::optional<std::int64_t> parse_span(std::string_view text)
{
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> units{{{"ns", 1},
                                                                              {"us", 1'000},
                                                                              {"ms", 1'000'000},
                                                                              {"s", second_ns},
                                                                              {"m", 60 * second_ns},
                                                                              {"h", 3600 * second_ns},
                                                                              {"d", 86400 * second_ns}}};
    std::size_t const at = text.find_first_not_of("0123456789.");
    std::string_view const suffix = at == std::string_view::npos ? "s" : text.substr(at);
    for (auto const& [name, unit_ns] : units) {
        if (suffix == name)
            return parse_decimal(text.substr(0, at), unit_ns);
    }
    return {};
}

std::optional<std::int64_t> parse_calendar(std::string_view text)
{
    if (text.ends_with('Z'))
        text.remove_suffix(1);
    if (text.size() < 19 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') ||
        text[13] != ':' || text[16] != ':')
        return {};
    auto const number = [&](std::size_t from, std::size_t digits) {
        int value = -1;
        auto const [end, error] = std::from_chars(text.data() + from, text.data() + from + digits, value);
        return error == std::errc{} && end == text.data() + from + digits ? value : -1;
    };
    std::chrono::year_month_day const date{std::chrono::year{number(0, 4)},
                                           std::chrono::month{static_cast<unsigned>(number(5, 2))},
                                           std::chrono::day{static_cast<unsigned>(number(8, 2))}};
    int const hour = number(11, 2);
    int const minute = number(14, 2);
    std::optional<std::int64_t> const second = parse_decimal(text.substr(17), second_ns);
    if (!date.ok() || date.year() < std::chrono::year{1970} || date.year() > std::chrono::year{2115} || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || !second || *second >= 60 * second_ns)
        return {};
    std::int64_t const days = std::chrono::sys_days{date}.time_since_epoch().count();
    return ((days * 24 + hour) * 60 + minute) * 60 * second_ns + *second;
}

std::string fraction(std::int64_t time_ns, int decimals)
{
    return decimals == 0
               ? ""
               : "." + fmt::format("{:09}", time_ns % second_ns).substr(0, static_cast<std::size_t>(decimals));
}

} // namespace

std::int64_t parse_time(std::string_view text, std::int64_t start_ns)
{
    std::optional<std::int64_t> result;
    if (text.starts_with('+')) {
        result = parse_span(text.substr(1));
        if (result)
            result = std::min(start_ns + *result, time_limit_ns);
    } else if (text.size() >= 5 && text[4] == '-') {
        result = parse_calendar(text);
    } else {
        result = parse_decimal(text, second_ns);
    }
    if (!result)
        throw Error{fmt::format("'{}' is not a time; write 2026-11-22T05:47:03Z, +12.5s (after the first record) or "
                                "seconds since 1970",
                                text)};
    return *result;
}

std::int64_t parse_duration(std::string_view text)
{
    std::optional<std::int64_t> const result = parse_span(text);
    if (!result || *result <= 0)
        throw Error{fmt::format("'{}' is not a duration; write 60s, 250ms, 5m, 2h or 1d", text)};
    return *result;
}

std::string format_date(std::int64_t time_ns)
{
    std::chrono::sys_days const day{std::chrono::days{time_ns / second_ns / 86400}};
    std::chrono::year_month_day const date{day};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()));
}

std::string format_clock(std::int64_t time_ns, int decimals)
{
    std::int64_t const second = time_ns / second_ns % 86400;
    return fmt::format("{:02}:{:02}:{:02}{}", second / 3600, second / 60 % 60, second % 60,
                       fraction(time_ns, decimals));
}

std::string format_time(std::int64_t time_ns, int decimals)
{
    return format_date(time_ns) + " " + format_clock(time_ns, decimals);
}

std::string format_span(std::int64_t duration_ns)
{
    double const seconds = static_cast<double>(duration_ns) / 1e9;
    if (duration_ns < 1'000'000)
        return fmt::format("{:.4g} µs", seconds * 1e6);
    if (duration_ns < second_ns)
        return fmt::format("{:.4g} ms", seconds * 1e3);
    if (seconds < 120)
        return fmt::format("{:.4g} s", seconds);
    std::int64_t const whole = std::llround(seconds);
    if (whole < 7200)
        return fmt::format("{} min {} s", whole / 60, whole % 60);
    if (whole < std::int64_t{2} * 86400)
        return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
    return fmt::format("{} d {} h", whole / 86400, whole / 3600 % 24);
}

} // namespace undercroft::analysis
