// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Times and durations as users write and read them. All times are UTC nanoseconds since 1970.
#include <cstdint>
#include <string>
#include <string_view>

namespace undercroft::analysis {

inline constexpr std::int64_t second_ns = 1'000'000'000;

/// Times and durations are below this (year 2116), so that a sum of two cannot overflow.
inline constexpr std::int64_t time_limit_ns = std::int64_t{1} << 62;

/// "2026-11-22T05:47:03.25Z" (the T may be a space, fraction and Z may be left out), "+12.5s" or
/// "+2m" after `start_ns`, or seconds since 1970 ("1700000000.5"). Throws Error.
[[nodiscard]] std::int64_t parse_time(std::string_view text, std::int64_t start_ns);

/// "60s", "250ms", "5m", "2h", "1d"; a bare number is seconds. More than 0. Throws Error.
[[nodiscard]] std::int64_t parse_duration(std::string_view text);

/// "2026-11-22 05:47:03" plus `decimals` digits of the fraction, cut, not rounded.
[[nodiscard]] std::string format_time(std::int64_t time_ns, int decimals);

/// "05:47:03" plus `decimals` digits of the fraction.
[[nodiscard]] std::string format_clock(std::int64_t time_ns, int decimals);

/// "2026-11-22".
[[nodiscard]] std::string format_date(std::int64_t time_ns);

/// "850 ms", "12.5 s", "3 min 20 s", "2 h 5 min".
[[nodiscard]] std::string format_span(std::int64_t duration_ns);

} // namespace undercroft::analysis
