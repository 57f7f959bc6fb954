// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Draws a grid with axes, title and legend (cairo).
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/heatmap/grid.hpp"
#include "analysis/heatmap/ticks.hpp"

namespace undercroft::analysis {

/// A stretch of time in which records are missing.
struct GapSpan {
    std::int64_t from_ns{};
    std::int64_t to_ns{};
    std::uint64_t lost{};
};

/// What one picture shows.
struct Picture {
    std::string title{};
    std::vector<std::string> notes{}; ///< phrases below the title, joined and broken into lines
    std::string legend_title{};
    GridShape shape;
    /// Share of the colour scale of a cell, 0 ... 1; nothing: no access; NaN: value not known.
    std::function<std::optional<double>(std::uint32_t column, std::uint32_t row)> share{};
    /// Labels of the colour bar by share.
    std::vector<std::pair<double, std::string>> legend{};
    bool unknown_in_legend{};    ///< explain the colour of unknown values
    std::vector<GapSpan> gaps{}; ///< by from_ns
    std::string gap_label{};     ///< in the legend
    /// Share of a cell that was looked at, 0 to 1; none: everything was.
    std::function<double(std::uint32_t column, std::uint32_t row)> looked_at{};
    /// Axes with at most so many ticks, positions in 512-byte units; none: LBA and offset.
    std::function<Axis(int most)> left_axis{};
    std::function<Axis(int most)> right_axis{};
    std::vector<double> folds{}; ///< positions at which something between is left out
    std::string empty_note{};    ///< written across the plot when it has no cell with access
};

enum class PictureFormat : std::uint8_t { png, svg };

struct PictureSize {
    int width{};
    int height{};
};
inline constexpr PictureSize smallest_picture{.width = 640, .height = 400};
inline constexpr PictureSize largest_picture{.width = 16000, .height = 16000};

/// Pixels that cells can take; more cells than that would hide each other.
[[nodiscard]] PictureSize plot_area(PictureSize picture);

void draw(Picture const& picture, PictureSize size, PictureFormat format, std::filesystem::path const& file);

} // namespace undercroft::analysis
