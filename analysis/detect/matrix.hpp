// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace undercroft::analysis {

/// Rows of features, each of one window of one run.
struct Matrix {
    std::size_t columns{};
    std::vector<float> values; ///< row by row; NaN: undefined in that window

    [[nodiscard]] std::size_t rows() const { return columns == 0 ? 0 : values.size() / columns; }
    [[nodiscard]] std::span<float const> row(std::size_t index) const
    {
        return std::span{values}.subspan(index * columns, columns);
    }
    void append(std::span<float const> row) { values.insert(values.end(), row.begin(), row.end()); }
};

/// What a classifier learns from.
struct TrainingData {
    Matrix matrix;
    std::vector<float> labels;  ///< 0 or 1; classes 0, 1, ... for several
    std::vector<float> weights; ///< as long as labels
};

} // namespace undercroft::analysis
