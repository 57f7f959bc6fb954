// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A heat map of memory as pictures and as JSON (docs/formats/heatmap.md).
#include "analysis/heatmap/memory_map.hpp"
#include "analysis/heatmap/render.hpp"

namespace undercroft::analysis {

enum class MemoryMapKind : std::uint8_t { read, write, execute, write_entropy };

/// "memory-read" and so on: what file names end with.
[[nodiscard]] std::string_view to_string(MemoryMapKind kind);

/// `map` must outlive the picture.
[[nodiscard]] Picture make_memory_picture(Boot const& boot, HeatmapRequest const& request, MemoryHeatmap const& map,
                                          MemoryMapKind kind, RenderOptions const& options);

/// Everything but the grids.
[[nodiscard]] nlohmann::json describe_memory(Boot const& boot, HeatmapRequest const& request, MemoryHeatmap const& map);

/// The grids: read, write, execute (accesses), looked_read, looked_write, looked_execute (0 to 1), write_entropy; a
/// list of rows from the lowest address.
[[nodiscard]] nlohmann::json memory_grids(MemoryHeatmap const& map);

} // namespace undercroft::analysis
