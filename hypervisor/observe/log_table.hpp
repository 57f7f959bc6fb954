// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// n * log2(n) in fixed point for n = 0 ... 4096, made at compile time with integers only.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace undercroft::observe {

inline constexpr unsigned log_table_fraction_bits = 16;
using LogTable = std::array<std::uint32_t, 4097>;

namespace log_table_detail {

/// log2(n) with 40 fraction bits, by squaring the mantissa: each overflow past 2 is one bit of the logarithm.
constexpr std::uint64_t log2_q40(std::uint64_t n)
{
    unsigned const whole = static_cast<unsigned>(std::bit_width(n)) - 1;
    unsigned __int128 mantissa = static_cast<unsigned __int128>(n) << (62 - whole); // 1.0 is 1 << 62
    std::uint64_t result = whole;
    for (int i = 0; i < 40; ++i) {
        mantissa = mantissa * mantissa >> 62;
        std::uint64_t const bit = static_cast<std::uint64_t>(mantissa >> 63);
        mantissa >>= bit;
        result = result << 1 | bit;
    }
    return result;
}

constexpr std::size_t smallest_factor(std::size_t n)
{
    for (std::size_t factor = 2; factor * factor <= n; ++factor)
        if (n % factor == 0)
            return factor;
    return n;
}

} // namespace log_table_detail

/// Only primes need a logarithm of their own, which keeps the compiler's work small.
constexpr LogTable make_log_table()
{
    std::array<std::uint64_t, 4097> log{};
    LogTable result{};
    for (std::size_t n = 2; n < log.size(); ++n) {
        std::size_t const factor = log_table_detail::smallest_factor(n);
        log[n] = factor == n ? log_table_detail::log2_q40(n) : log[factor] + log[n / factor];
        result[n] = static_cast<std::uint32_t>((n * log[n] + (1U << 23)) >> (40 - log_table_fraction_bits));
    }
    return result;
}

} // namespace undercroft::observe
