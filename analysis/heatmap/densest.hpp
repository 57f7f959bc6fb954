// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The smallest contiguous stretch that holds most accesses, so that one far-away access does not
// squeeze everything else into a single line of pixels.
#include <cstdint>
#include <functional>
#include <span>

#include "analysis/heatmap/grid.hpp"

namespace undercroft::analysis {

/// Blocks or nanoseconds, [first, end).
struct Span {
    std::uint64_t first{};
    std::uint64_t end{};
    bool operator==(Span const&) const = default;
};

/// Of all windows [first, end) over the bins that hold at least `share` of the sum of *each* histogram
/// (an empty histogram asks for nothing), the shortest, and of equals the first. Both have the same size.
[[nodiscard]] Span shortest_window(std::span<double const> reads, std::span<double const> writes, double share);

/// Calls its argument for each access: block run, and whether it is a write.
using ForEachRun = std::function<void(std::function<void(BlockRun, bool)> const&)>;

/// The shortest span of blocks with at least `share` (more than a half) of the reads' and of the writes'
/// counts. Exact to 2/1024 of its length: a histogram of 65,536 bins over everything is followed by finer
/// ones around what was found. Calls `for_each` a few times. An empty span when there are no accesses.
[[nodiscard]] Span densest_blocks(ForEachRun const& for_each, double share);

/// The span of `length` bins with the largest sum, the first of equals.
[[nodiscard]] Span fullest_window(std::span<double const> counts, std::uint64_t length);

} // namespace undercroft::analysis
