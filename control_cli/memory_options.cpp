// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "control_cli/memory_options.hpp"

#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace undercroft::control_cli {
namespace {

using wire::MemoryRequest;

std::unexpected<std::string> bad(std::string const& text, char const* expected)
{
    return std::unexpected("'" + text + "' is not " + expected);
}

/// The number at the beginning; `rest` is what follows it.
std::optional<std::uint64_t> leading_number(std::string_view text, std::string_view& rest)
{
    bool const hex = text.starts_with("0x");
    if (hex)
        text.remove_prefix(2);
    std::uint64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, hex ? 16 : 10);
    if (error != std::errc{})
        return std::nullopt;
    rest = text.substr(static_cast<std::size_t>(end - text.data()));
    return number;
}

std::optional<std::uint64_t> times(std::uint64_t number, std::uint64_t factor)
{
    if (number > std::numeric_limits<std::uint64_t>::max() / factor)
        return std::nullopt;
    return number * factor;
}

template <typename T, typename Value>
bool fits(Value value)
{
    return value <= std::numeric_limits<T>::max();
}

template <typename T>
using Parsed = std::expected<T, std::string>;

Parsed<void> put_range(std::string const& text, MemoryRequest& request)
{
    if (text.empty())
        return {};
    constexpr auto expected = "a range BEGIN+BYTES of whole pages, such as 0x100000+64M";
    std::size_t const plus = text.find('+');
    if (plus == std::string::npos)
        return bad(text, expected);
    auto const begin = parse_bytes(text.substr(0, plus)), bytes = parse_bytes(text.substr(plus + 1));
    if (!begin || !bytes || ((*begin | *bytes) & 4095) != 0 || *bytes == 0 || *begin + *bytes < *begin)
        return bad(text, expected);
    request.range_begin = *begin;
    request.range_bytes = *bytes;
    return {};
}

Parsed<void> put_times(MemoryArguments const& arguments, MemoryRequest& request)
{
    if (!arguments.every.empty()) {
        auto const period = parse_duration_us(arguments.every);
        if (!period)
            return std::unexpected(period.error());
        if (!fits<std::uint32_t>(*period))
            return bad(arguments.every, "at most 71 minutes");
        request.period_us = static_cast<std::uint32_t>(*period);
    }
    if (!arguments.delay.empty()) {
        auto const delay = parse_duration_us(arguments.delay);
        if (!delay)
            return std::unexpected(delay.error());
        if (*delay < 1000 || *delay % 1000 != 0 || !fits<std::uint16_t>(*delay / 1000))
            return bad(arguments.delay, "1 to 65535 whole milliseconds");
        request.delay_ms = static_cast<std::uint16_t>(*delay / 1000);
    }
    return {};
}

Parsed<void> put_rates(MemoryArguments const& arguments, MemoryRequest& request)
{
    if (!arguments.rate.empty()) {
        auto const rate = parse_bytes(arguments.rate);
        if (!rate)
            return std::unexpected(rate.error());
        if (*rate < 1024 || !fits<std::uint32_t>(*rate / 1024))
            return bad(arguments.rate, "1K bytes per second to 4095G");
        request.rate_kib_per_s = static_cast<std::uint32_t>(*rate / 1024);
    }
    if (!arguments.budget.empty()) {
        auto const budget = parse_permille(arguments.budget);
        if (!budget)
            return std::unexpected(budget.error());
        request.budget_permille = *budget;
    }
    return {};
}

std::uint16_t flags_of(MemoryArguments const& arguments)
{
    using namespace wire::memory_flag;
    std::uint16_t flags = 0;
    for (auto const& [set, bit] :
         {std::pair{arguments.huge, huge_pages}, std::pair{arguments.keep_entries, keep_entries},
          std::pair{arguments.keep_tlb, keep_tlb}, std::pair{arguments.only_touched, only_touched},
          std::pair{arguments.consistent, consistent}, std::pair{arguments.full_sweeps, full_sweeps},
          std::pair{arguments.no_content, no_content}})
        flags = static_cast<std::uint16_t>(flags | (set ? bit : 0));
    return flags;
}

} // namespace

Parsed<std::uint64_t> parse_duration_us(std::string const& text)
{
    constexpr auto expected = "a time such as 250us, 300ms, 2s or 5min";
    std::string_view unit;
    auto const number = leading_number(text, unit);
    std::uint64_t const factor = unit == "us"    ? 1
                                 : unit == "ms"  ? 1000
                                 : unit == "s"   ? 1'000'000
                                 : unit == "min" ? 60'000'000
                                                 : 0;
    auto const us = number && factor != 0 ? times(*number, factor) : std::nullopt;
    if (!us || *us == 0)
        return bad(text, expected);
    return *us;
}

Parsed<std::uint64_t> parse_bytes(std::string const& text)
{
    constexpr auto expected = "a number of bytes such as 4096, 64K, 10M, 2G or 0x1000";
    std::string_view unit;
    auto const number = leading_number(text, unit);
    std::uint64_t const factor = unit.empty()  ? 1
                                 : unit == "K" ? 1ULL << 10
                                 : unit == "M" ? 1ULL << 20
                                 : unit == "G" ? 1ULL << 30
                                               : 0;
    auto const bytes = number && factor != 0 ? times(*number, factor) : std::nullopt;
    if (!bytes)
        return bad(text, expected);
    return *bytes;
}

Parsed<std::uint16_t> parse_permille(std::string const& text)
{
    constexpr auto expected = "a share such as 5% or 0.5%, at most 100%";
    std::string_view rest;
    auto const whole = leading_number(text, rest);
    std::uint64_t tenth = 0;
    if (rest.size() == 3 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9') {
        tenth = static_cast<std::uint64_t>(rest[1] - '0');
        rest.remove_prefix(2);
    }
    if (!whole || rest != "%" || *whole > 100 || *whole * 10 + tenth == 0 || *whole * 10 + tenth > 1000)
        return bad(text, expected);
    return static_cast<std::uint16_t>(*whole * 10 + tenth);
}

Parsed<MemoryRequest> memory_request(MemoryArguments const& arguments)
{
    MemoryRequest request{};
    request.mode = static_cast<std::uint16_t>(arguments.mode);
    request.action = static_cast<std::uint16_t>(arguments.action);
    request.flags = flags_of(arguments);
    request.every_turns = arguments.turns;
    request.thin = arguments.thin;
    request.delay_depth = arguments.depth;
    for (auto const& done :
         {put_range(arguments.range, request), put_times(arguments, request), put_rates(arguments, request)})
        if (!done)
            return std::unexpected(done.error());
    return request;
}

} // namespace undercroft::control_cli
