// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft {

/// value * numerator / denominator without 128-bit division (which has no freestanding
/// implementation). Requires numerator * denominator < 2^64; the result is taken modulo 2^64.
[[nodiscard]] constexpr std::uint64_t scale(std::uint64_t value, std::uint64_t numerator, std::uint64_t denominator)
{
    return value / denominator * numerator + value % denominator * numerator / denominator;
}
static_assert(scale(3'000'000'001, 1'000'000'000, 3'000'000'000) == 1'000'000'000);
static_assert(scale(~0ULL, 1, 2) == ~0ULL / 2);

} // namespace undercroft
