// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Logistic regression with an L2 penalty, by Newton's method. Columns are brought to mean 0 and deviation 1 over the
// training rows; an undefined value counts as the mean.
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "analysis/detect/matrix.hpp"

namespace undercroft::analysis {

class Logistic {
public:
    /// Weighs the penalty l2 / 2 * |coefficients|^2 against the weighted log loss. Throws Error without rows of both
    /// classes.
    static Logistic train(TrainingData const& data, double l2);
    /// Throws Error when it is not a model of `columns` columns.
    static Logistic from_json(nlohmann::json const& model, std::size_t columns);
    [[nodiscard]] nlohmann::json to_json() const;

    /// Log-odds of class 1, one per row.
    [[nodiscard]] std::vector<float> margins(Matrix const& matrix) const;
    /// rows * (columns + 1): coefficient * standardised value, then the intercept.
    [[nodiscard]] std::vector<float> contributions(Matrix const& matrix) const;

private:
    [[nodiscard]] double standardised(float value, std::size_t column) const;

    std::vector<double> mean_;
    std::vector<double> scale_; ///< 1 / deviation; 0 for a constant column
    std::vector<double> coefficients_;
    double intercept_{};
};

} // namespace undercroft::analysis
