// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From the memory stream of a boot to grids over time and guest-physical pages, holes between RAM left out.
#include <array>
#include <cstdint>

#include "analysis/heatmap/heatmap.hpp"
#include "analysis/memory/coverage.hpp"

namespace undercroft::analysis {

struct MemoryTotals {
    std::uint64_t records{}; ///< of the time range
    std::uint64_t outside{}; ///< of them outside of RAM
    double shown{};          ///< page accesses in the address range: the sum of the grid
};

/// Blocks of the shape are pages of `ram`. A record of a 2 MiB page counts 1 in all, spread over its pages.
struct MemoryHeatmap {
    RamMap ram;
    bool ram_known{}; ///< the regions are recorded; else one range from 0 stands for them
    GridShape shape;
    std::array<Grid, access_kinds> counts{Grid{shape}, Grid{shape}, Grid{shape}}; ///< by AccessKind
    std::array<Grid, access_kinds> looked{Grid{shape}, Grid{shape}, Grid{shape}}; ///< in pages times nanoseconds
    Grid entropy_sum{shape};                                                      ///< of writes with known entropy
    Grid entropy_count{shape};
    std::array<MemoryTotals, access_kinds> totals{};
    std::vector<GapSpan> gaps{};
    std::uint64_t lost{};

    /// Share of a cell, as far as it reaches into the ranges, that was looked at.
    [[nodiscard]] double looked_share(AccessKind kind, std::uint32_t column, std::uint32_t row) const;
    /// The same of the whole picture.
    [[nodiscard]] double looked_share(AccessKind kind) const;
};

/// `request`: `lba` chooses among page ranges, first_lba and end_lba are guest-physical bytes; source and count are
/// not used.
[[nodiscard]] MemoryHeatmap make_memory_heatmap(Boot const& boot, HeatmapRequest const& request);

} // namespace undercroft::analysis
