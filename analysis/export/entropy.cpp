// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/export/entropy.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace undercroft::analysis {

double shannon_share(std::span<std::uint8_t const> bytes)
{
    std::array<std::uint32_t, 256> counts{};
    for (std::uint8_t const byte : bytes)
        ++counts[byte];
    double sum = 0;
    for (std::uint32_t const count : counts) {
        if (count != 0) {
            double const share = double(count) / double(bytes.size());
            sum += share * (std::log(share) / std::numbers::ln2);
        }
    }
    return -sum / 8;
}

double mean_part_entropy(std::span<std::uint8_t const> bytes)
{
    constexpr std::size_t part_bytes = 256;
    double sum = 0;
    double parts = 0;
    for (std::size_t at = 0; at < bytes.size(); at += part_bytes, ++parts)
        sum += shannon_share(bytes.subspan(at, std::min(part_bytes, bytes.size() - at)));
    return parts == 0 ? 0 : sum / parts;
}

} // namespace undercroft::analysis
