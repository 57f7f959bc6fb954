// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A heat map as pictures and as JSON (docs/formats/heatmap.md).
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "analysis/heatmap/heatmap.hpp"

namespace undercroft::analysis {

struct RenderOptions {
    PictureSize size;
    PictureFormat format{};
    bool logarithmic{};
    double max{}; ///< count at the top of the colour scale; 0: the largest cell
};

enum class MapKind : std::uint8_t { read, write, write_entropy };

/// "read", "write", "write-entropy": what file names end with.
[[nodiscard]] std::string_view to_string(MapKind kind);

[[nodiscard]] Picture make_picture(Boot const& boot, HeatmapRequest const& request, Heatmap const& map, MapKind kind,
                                   RenderOptions const& options);

/// Everything but the grids.
[[nodiscard]] nlohmann::json describe(Boot const& boot, HeatmapRequest const& request, Heatmap const& map);

/// The grids: read, write, write_entropy; a list of rows from the lowest LBA.
[[nodiscard]] nlohmann::json grids(Heatmap const& map);

} // namespace undercroft::analysis
