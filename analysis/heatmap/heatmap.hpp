// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From the records of a boot to grids: ranges are found, accesses counted.
#include <cstdint>
#include <optional>
#include <string>

#include "analysis/heatmap/densest.hpp"
#include "analysis/heatmap/grid.hpp"
#include "analysis/heatmap/picture.hpp"
#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

inline constexpr double densest_share = 0.95;

enum class LbaChoice : std::uint8_t { densest, all, given };

struct HeatmapRequest {
    std::string from; ///< as parse_time; empty: from the first record
    std::string to;
    std::string window; ///< as parse_duration; empty: no window
    LbaChoice lba{};
    std::uint64_t first_lba{}; ///< given
    std::uint64_t end_lba{};
    std::optional<std::uint16_t> source;
    CountMode count{};
    std::uint32_t max_columns{};
    std::uint32_t max_rows{};
};

/// Of the reads or of the writes in the time range.
struct Totals {
    std::uint64_t records{};
    std::uint64_t requests{};
    std::uint64_t bytes{};
    std::uint64_t blocks{};   ///< 4 KiB blocks touched, whatever the LBA
    std::uint64_t accesses{}; ///< in the unit of the count mode, whatever the LBA
    std::uint64_t shown{};    ///< of them inside the LBA range: the sum of the grid
};

struct Heatmap {
    GridShape shape;
    Grid reads{shape};
    Grid writes{shape};
    Grid entropy_sum{shape};    ///< of the blocks with known entropy
    Grid entropy_blocks{shape}; ///< how many they are
    Totals read_totals{};
    Totals write_totals{};
    std::vector<GapSpan> gaps{}; ///< in the time range
    std::uint64_t lost{};        ///< records missing in those gaps
    std::vector<GapSpan> off{};  ///< in the time range: capture was switched off; lost is 0
};

[[nodiscard]] Heatmap make_heatmap(Boot const& boot, HeatmapRequest const& request);

} // namespace undercroft::analysis
