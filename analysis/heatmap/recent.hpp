// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Heat maps of accesses that are in memory.
#include <span>

#include "analysis/heatmap/heatmap.hpp"
#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

/// Of accesses in time order: the reads and writes in [from, to), all LBAs. `request` takes the number of cells and is
/// told the range that was chosen.
[[nodiscard]] Heatmap make_recent_heatmap(std::span<Access const> accesses, std::int64_t from_ns, std::int64_t to_ns,
                                          HeatmapRequest& request);

} // namespace undercroft::analysis
