// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// XGBoost's trees: boosted, or grown side by side as a random forest.
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "analysis/detect/flat_trees.hpp"
#include "analysis/detect/matrix.hpp"

namespace undercroft::analysis {

struct BoosterOptions {
    int rounds = 100;
    int trees_per_round = 1; ///< more than 1, with one round and learning rate 1: a random forest
    int depth = 3;
    double learning_rate = 0.1;
    double row_share = 0.7;
    double column_share = 0.4; ///< per tree
    double smallest_child = 5; ///< sum of weights
    double l2 = 5;
    int classes = 2; ///< more: one probability per class
    std::uint32_t seed = 1;
};

class Booster {
public:
    /// Throws Error when XGBoost refuses.
    static Booster train(TrainingData const& data, BoosterOptions const& options);

    /// From to_json. Throws Error when it is not a model of `columns` columns whose trees are trees: a model file can
    /// come from anywhere, and XGBoost itself follows whatever child numbers a file holds.
    static Booster from_json(nlohmann::json const& model, std::size_t columns);
    [[nodiscard]] nlohmann::json to_json() const;

    /// Log-odds of class 1, one per row; of two classes only.
    [[nodiscard]] std::vector<float> margins(Matrix const& matrix) const;
    /// With several classes: rows * classes probabilities.
    [[nodiscard]] std::vector<float> probabilities(Matrix const& matrix) const;
    /// SHAP values: rows * (columns + 1); each row sums to its margin, the last is what no column explains.
    [[nodiscard]] std::vector<float> contributions(Matrix const& matrix) const;

private:
    struct Free {
        void operator()(void* handle) const;
    };
    void check_columns(Matrix const& matrix) const;
    [[nodiscard]] std::vector<float> predict(Matrix const& matrix, int kind) const;

    std::unique_ptr<void, Free> handle_;
    FlatTrees flat_; ///< empty with several classes
    std::size_t columns_{};
};

} // namespace undercroft::analysis
