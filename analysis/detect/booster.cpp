// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/booster.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/detect/xgboost_api.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

constexpr int tested_major = 3;
constexpr std::size_t most_trees = 20'000;
constexpr std::size_t most_nodes = 1 << 16;

// XGBoosterPredictFromDMatrix's "type"
constexpr int predict_value = 0;
constexpr int predict_contributions = 2;

void check(int result)
{
    if (result != 0)
        throw Error{fmt::format("XGBoost: {}", std::string{XGBGetLastError()}.substr(0, 400))};
}

void start_library()
{
    static std::once_flag once;
    std::call_once(once, [] {
        int major = 0;
        int minor = 0;
        int patch = 0;
        XGBoostVersion(&major, &minor, &patch);
        if (major != tested_major)
            throw Error{
                fmt::format("libxgboost is version {}.{}.{}, but {} is needed", major, minor, patch, tested_major)};
        check(XGBSetGlobalConfig(R"({"verbosity": 0})"));
    });
}

struct FreeMatrix {
    void operator()(void* handle) const { XGDMatrixFree(handle); }
};
using DMatrix = std::unique_ptr<void, FreeMatrix>;

/// How XGBoost is told of an array in memory (NumPy's array interface).
std::string array_of(Matrix const& matrix)
{
    return fmt::format(R"({{"data": [{}, true], "shape": [{}, {}], "typestr": "<f4", "version": 3}})",
                       reinterpret_cast<std::uintptr_t>(matrix.values.data()), matrix.rows(), matrix.columns);
}

DMatrix make_matrix(Matrix const& matrix)
{
    void* handle = nullptr;
    check(XGDMatrixCreateFromDense(array_of(matrix).c_str(), R"({"missing": NaN, "nthread": 1})", &handle));
    return DMatrix{handle};
}

std::uint64_t count_of(std::uint64_t const* shape, std::uint64_t dimensions)
{
    return std::accumulate(shape, shape + dimensions, std::uint64_t{1}, std::multiplies<>{});
}

void refuse(bool wrong, char const* what)
{
    if (wrong)
        throw Error{fmt::format("the model's trees are not valid: {}", what)};
}

/// Where a member of the model lies, as a path of names.
Json const& member(Json const& model, std::initializer_list<char const*> path)
{
    Json const* at = &model;
    for (char const* const name : path) {
        refuse(!at->is_object() || !at->contains(name), name);
        at = &at->at(name);
    }
    return *at;
}

std::vector<std::int64_t> whole_numbers(Json const& tree, char const* name, std::size_t count)
{
    Json const& values = member(tree, {name});
    refuse(!values.is_array() || values.size() != count, name);
    std::vector<std::int64_t> result;
    for (Json const& value : values) {
        refuse(!value.is_number_integer(), name);
        result.push_back(value.get<std::int64_t>());
    }
    return result;
}

void check_finite(Json const& tree, char const* name, std::size_t count)
{
    Json const& values = member(tree, {name});
    refuse(!values.is_array() || values.size() != count, name);
    for (Json const& value : values)
        refuse(!value.is_number() || !(std::abs(value.get<double>()) <= std::numeric_limits<float>::max()), name);
}

void check_empty(Json const& json, char const* name)
{
    refuse(!member(json, {name}).is_array() || !member(json, {name}).empty(), name);
}

/// Every node is reached exactly once from node 0, splits on a column there is, and nothing is categorical.
void check_tree(Json const& tree, std::size_t columns)
{
    Json const& first = member(tree, {"left_children"});
    refuse(!first.is_array() || first.empty() || first.size() > most_nodes, "left_children");
    std::size_t const nodes = first.size();
    refuse(member(tree, {"tree_param", "num_nodes"}) != std::to_string(nodes), "num_nodes");
    refuse(member(tree, {"tree_param", "num_feature"}) != std::to_string(columns), "num_feature");
    refuse(member(tree, {"tree_param", "num_deleted"}) != "0", "num_deleted");
    refuse(member(tree, {"tree_param", "size_leaf_vector"}) != "1", "size_leaf_vector");
    auto const left = whole_numbers(tree, "left_children", nodes);
    auto const right = whole_numbers(tree, "right_children", nodes);
    auto const parents = whole_numbers(tree, "parents", nodes);
    auto const split = whole_numbers(tree, "split_indices", nodes);
    for (char const* const name : {"split_conditions", "base_weights", "loss_changes", "sum_hessian"})
        check_finite(tree, name, nodes);
    for (auto const type : whole_numbers(tree, "split_type", nodes))
        refuse(type != 0, "split_type");
    for (auto const way : whole_numbers(tree, "default_left", nodes))
        refuse(way != 0 && way != 1, "default_left");
    for (char const* const name : {"categories", "categories_nodes", "categories_segments", "categories_sizes"})
        check_empty(tree, name);
    std::vector<int> reached(nodes);
    for (std::size_t i = 0; i < nodes; ++i) {
        if (left[i] == -1 && right[i] == -1)
            continue;
        refuse(split[i] < 0 || split[i] >= static_cast<std::int64_t>(columns), "split_indices");
        for (std::int64_t const child : {left[i], right[i]}) {
            refuse(child <= static_cast<std::int64_t>(i) || child >= static_cast<std::int64_t>(nodes), "children");
            refuse(++reached[static_cast<std::size_t>(child)] != 1, "children");
            refuse(parents[static_cast<std::size_t>(child)] != static_cast<std::int64_t>(i), "parents");
        }
    }
    refuse(std::accumulate(reached.begin(), reached.end(), std::size_t{0}) != nodes - 1, "children");
}

void check_trees(Json const& model, std::size_t columns)
{
    Json const& learner = member(model, {"learner"});
    refuse(member(learner, {"learner_model_param", "num_feature"}) != std::to_string(columns), "num_feature");
    refuse(member(learner, {"learner_model_param", "num_class"}) != "0", "num_class");
    refuse(member(learner, {"learner_model_param", "num_target"}) != "1", "num_target");
    refuse(member(learner, {"objective", "name"}) != "binary:logistic", "objective");
    refuse(member(learner, {"gradient_booster", "name"}) != "gbtree", "gradient_booster");
    for (char const* const name : {"feature_names", "feature_types"})
        check_empty(learner, name);
    Json const& booster = member(learner, {"gradient_booster", "model"});
    for (char const* const name : {"enc", "feature_segments", "sorted_idx"})
        check_empty(member(booster, {"cats"}), name);
    Json const& trees = member(booster, {"trees"});
    refuse(!trees.is_array() || trees.empty() || trees.size() > most_trees, "trees");
    refuse(member(booster, {"gbtree_model_param", "num_trees"}) != std::to_string(trees.size()), "num_trees");
    for (auto const group : whole_numbers(booster, "tree_info", trees.size()))
        refuse(group != 0, "tree_info");
    std::int64_t last = 0;
    Json const& rounds = member(booster, {"iteration_indptr"});
    refuse(!rounds.is_array() || rounds.empty(), "iteration_indptr");
    for (auto const at : whole_numbers(booster, "iteration_indptr", rounds.size())) {
        refuse(at < last || at > static_cast<std::int64_t>(trees.size()), "iteration_indptr");
        last = at;
    }
    refuse(last != static_cast<std::int64_t>(trees.size()), "iteration_indptr");
    std::int64_t id = 0;
    for (Json const& tree : trees) {
        refuse(member(tree, {"id"}) != id++, "id");
        check_tree(tree, columns);
    }
}

} // namespace

void Booster::Free::operator()(void* handle) const
{
    XGBoosterFree(handle);
}

Booster Booster::train(TrainingData const& data, BoosterOptions const& options)
{
    start_library();
    DMatrix const matrix = make_matrix(data.matrix);
    check(XGDMatrixSetFloatInfo(matrix.get(), "label", data.labels.data(), data.labels.size()));
    check(XGDMatrixSetFloatInfo(matrix.get(), "weight", data.weights.data(), data.weights.size()));
    void* handle = nullptr;
    void* const training = matrix.get();
    check(XGBoosterCreate(&training, 1, &handle));
    Booster booster;
    booster.handle_.reset(handle);
    booster.columns_ = data.matrix.columns;
    auto const set = [&](char const* name, auto const& value) {
        check(XGBoosterSetParam(handle, name, fmt::format("{}", value).c_str()));
    };
    set("objective", options.classes > 2 ? "multi:softprob" : "binary:logistic");
    if (options.classes > 2)
        set("num_class", options.classes);
    set("base_score", options.classes > 2 ? 0.0 : 0.5);
    set("tree_method", "hist");
    set("nthread", 1);
    set("num_parallel_tree", options.trees_per_round);
    set("max_depth", options.depth);
    set("eta", options.learning_rate);
    set("subsample", options.row_share);
    set(options.trees_per_round > 1 ? "colsample_bynode" : "colsample_bytree", options.column_share);
    set("min_child_weight", options.smallest_child);
    set("lambda", options.l2);
    set("seed", options.seed);
    for (int i = 0; i < options.rounds; ++i)
        check(XGBoosterUpdateOneIter(handle, i, training));
    if (options.classes == 2)
        booster.flat_ = FlatTrees{booster.to_json()};
    return booster;
}

Booster Booster::from_json(Json const& model, std::size_t columns)
{
    start_library();
    check_trees(model, columns);
    std::string const text = model.dump();
    void* handle = nullptr;
    check(XGBoosterCreate(nullptr, 0, &handle));
    Booster booster;
    booster.handle_.reset(handle);
    booster.columns_ = columns;
    booster.flat_ = FlatTrees{model};
    check(XGBoosterLoadModelFromBuffer(handle, text.data(), text.size()));
    check(XGBoosterSetParam(handle, "nthread", "1"));
    return booster;
}

Json Booster::to_json() const
{
    std::uint64_t bytes = 0;
    char const* text = nullptr;
    check(XGBoosterSaveModelToBuffer(handle_.get(), R"({"format": "json"})", &bytes, &text));
    return Json::parse(text, text + bytes);
}

void Booster::check_columns(Matrix const& matrix) const
{
    if (matrix.columns != columns_)
        throw Error{fmt::format("the model takes {} columns, not {}", columns_, matrix.columns)};
}

std::vector<float> Booster::predict(Matrix const& matrix, int kind) const
{
    check_columns(matrix);
    if (matrix.rows() == 0)
        return {};
    std::string const config =
        fmt::format(R"({{"type": {}, "training": false, "iteration_begin": 0, )"
                    R"("iteration_end": 0, "strict_shape": false, "missing": NaN, "cache_id": 0}})",
                    kind);
    std::uint64_t const* shape = nullptr;
    std::uint64_t dimensions = 0;
    float const* result = nullptr;
    if (kind == predict_contributions) { // which only a matrix of XGBoost's own gives
        DMatrix const input = make_matrix(matrix);
        check(XGBoosterPredictFromDMatrix(handle_.get(), input.get(), config.c_str(), &shape, &dimensions, &result));
        return {result, result + count_of(shape, dimensions)};
    }
    check(XGBoosterPredictFromDense(handle_.get(), array_of(matrix).c_str(), config.c_str(), nullptr, &shape,
                                    &dimensions, &result));
    return {result, result + count_of(shape, dimensions)};
}

std::vector<float> Booster::margins(Matrix const& matrix) const
{
    check_columns(matrix);
    std::vector<float> result;
    result.reserve(matrix.rows());
    for (std::size_t r = 0; r < matrix.rows(); ++r)
        result.push_back(flat_.margin(matrix.row(r)));
    return result;
}

std::vector<float> Booster::probabilities(Matrix const& matrix) const
{
    return predict(matrix, predict_value);
}

std::vector<float> Booster::contributions(Matrix const& matrix) const
{
    return predict(matrix, predict_contributions);
}

} // namespace undercroft::analysis
