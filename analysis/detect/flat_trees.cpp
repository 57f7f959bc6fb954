// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/flat_trees.hpp"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint32_t leaf_mark = std::numeric_limits<std::uint32_t>::max();

/// What every margin begins with. XGBoost writes a probability, "5E-1", or a list of one.
float base_margin(nlohmann::json const& learner)
{
    nlohmann::json const& parameters = learner.at("learner_model_param");
    std::string text = parameters.at("base_score").get<std::string>();
    if (text.starts_with('[') && text.ends_with(']'))
        text = text.substr(1, text.size() - 2);
    char* end = nullptr;
    float const probability = std::strtof(text.c_str(), &end);
    if (end == text.c_str() || *end != '\0' || !(probability > 0 && probability < 1))
        throw Error{"the model's trees are not valid: base_score"};
    return -std::log(1.0F / probability - 1.0F);
}

} // namespace

FlatTrees::FlatTrees(nlohmann::json const& model)
{
    nlohmann::json const& learner = model.at("learner");
    base_ = base_margin(learner);
    for (nlohmann::json const& tree : learner.at("gradient_booster").at("model").at("trees")) {
        auto const& left = tree.at("left_children");
        std::size_t const root = nodes_.size();
        roots_.push_back(root);
        for (std::size_t i = 0; i < left.size(); ++i) {
            Node node{.value = tree.at("split_conditions")[i].get<float>()};
            node.column = leaf_mark;
            if (left[i].get<std::int64_t>() != -1) {
                node.column = tree.at("split_indices")[i].get<std::uint32_t>();
                node.children[0] = static_cast<std::uint32_t>(root + left[i].get<std::size_t>());
                node.children[1] = static_cast<std::uint32_t>(root + tree.at("right_children")[i].get<std::size_t>());
                node.undefined_left = tree.at("default_left")[i].get<int>() != 0;
            }
            nodes_.push_back(node);
        }
    }
}

float FlatTrees::margin(std::span<float const> row) const
{
    float sum = base_;
    for (std::size_t const root : roots_) {
        Node const* node = &nodes_[root];
        while (node->column != leaf_mark) {
            float const value = row[node->column];
            bool const left = std::isnan(value) ? node->undefined_left : value < node->value;
            node = &nodes_[node->children[left ? 0 : 1]];
        }
        sum += node->value;
    }
    return sum;
}

} // namespace undercroft::analysis
