// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What pictures of disks and of memory share: colour scales, their legends, notes, and parts of the JSON.
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/heatmap/picture.hpp"

namespace undercroft::analysis {

/// Labels of a colour bar by share.
using Legend = std::vector<std::pair<double, std::string>>;

/// "12.5 MiB"
[[nodiscard]] std::string format_bytes(double bytes);

/// Share of the colour scale, 0 to 1, of a count > 0.
[[nodiscard]] double colour_share(double count, double max, bool logarithmic);
[[nodiscard]] Legend count_legend(double max, bool clamped, bool logarithmic);
[[nodiscard]] Legend entropy_legend();

/// "2026-11-22 05:47:03.250 to 05:47:09.000 UTC (5.75 s)"
[[nodiscard]] std::string time_note(GridShape const& shape);

[[nodiscard]] nlohmann::json time_json(GridShape const& shape);
[[nodiscard]] nlohmann::json gaps_json(std::vector<GapSpan> const& gaps);

/// A list of rows from the lowest one, each with `columns` values.
template <typename Value>
nlohmann::json grid_rows(GridShape const& shape, Value value)
{
    nlohmann::json rows = nlohmann::json::array();
    for (std::uint32_t row = 0; row < shape.rows; ++row) {
        nlohmann::json line = nlohmann::json::array();
        for (std::uint32_t column = 0; column < shape.columns; ++column)
            line.push_back(value(column, row));
        rows.push_back(std::move(line));
    }
    return rows;
}

} // namespace undercroft::analysis
