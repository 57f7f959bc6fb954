// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft {

/// a * b / c with a 128-bit product; the largest value when the quotient does not fit or
/// c is 0. (The compiler's 128-bit division is a library call, which the sensor lacks.)
[[nodiscard]] constexpr std::uint64_t mul_div(std::uint64_t a, std::uint64_t b, std::uint64_t c)
{
    auto const product = static_cast<unsigned __int128>(a) * b;
    auto const high = static_cast<std::uint64_t>(product >> 64);
    if (high >= c)
        return ~std::uint64_t{0};
    if consteval {
        return static_cast<std::uint64_t>(product / c);
    }
    std::uint64_t quotient = static_cast<std::uint64_t>(product), remainder = high;
    asm("divq %2" : "+a"(quotient), "+d"(remainder) : "r"(c) : "cc");
    return quotient;
}

} // namespace undercroft
