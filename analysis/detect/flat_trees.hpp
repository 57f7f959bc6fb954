// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// XGBoost's trees laid out for one window at a time: XGBoost's own prediction costs 60 us to begin with, whatever the
// trees.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

namespace undercroft::analysis {

class FlatTrees {
public:
    FlatTrees() = default;
    /// From XGBoost's JSON, which Booster has checked: every tree is one.
    explicit FlatTrees(nlohmann::json const& model);

    /// Log-odds of class 1: the leaves added up in XGBoost's order and precision, so that both say the same to the bit.
    [[nodiscard]] float margin(std::span<float const> row) const;

private:
    struct Node {
        float value{};               ///< below it the way is left; of a leaf: what it adds
        std::uint32_t column{};      ///< of a leaf: leaf_mark
        std::uint32_t children[2]{}; ///< left, right
        bool undefined_left{};
    };

    std::vector<Node> nodes_;
    std::vector<std::size_t> roots_;
    float base_{};
};

} // namespace undercroft::analysis
