// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft {

/// All ones in the low `width` bytes (0 ... 8): what an access of that width carries.
[[nodiscard]] constexpr std::uint64_t width_mask(unsigned width)
{
    return width >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * width)) - 1;
}
[[nodiscard]] constexpr std::uint64_t truncate(std::uint64_t value, unsigned width)
{
    return value & width_mask(width);
}

} // namespace undercroft
