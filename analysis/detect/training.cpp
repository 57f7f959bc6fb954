// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/training.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "analysis/detect/calibration.hpp"
#include "analysis/detect/training_rows.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

/// What every encryptor that keeps its files' names must do, whatever the machine: these carry the anchored model.
constexpr std::array<std::string_view, 2> write_anchors{"overwrite_at_rest", "at_rest_in_runs_peak"};
/// Reading many small things one by one, and many of them in a short time.
constexpr std::array<std::string_view, 2> read_anchors{"read_single_runs", "read_single_peak"};
constexpr double write_limit = 2.0;
constexpr double read_limit = 1.0;

std::vector<std::size_t> anchors_of(View const& view)
{
    std::vector<std::size_t> result;
    std::size_t const longest = longest_window(view);
    auto const take = [&](auto const& names) {
        for (std::size_t i = 0; i < view.columns.size(); ++i)
            if (view.columns[i].window == longest &&
                std::ranges::find(names, view.columns[i].feature->name) != names.end())
                result.push_back(i);
    };
    if (view.reads_only)
        take(read_anchors);
    else
        take(write_anchors);
    if (result.empty())
        throw Error{"an anchored model needs its anchor columns among the features"};
    return result;
}

Matrix only(Matrix const& matrix, std::vector<std::size_t> const& columns)
{
    Matrix result{.columns = columns.size(), .values = {}};
    for (std::size_t r = 0; r < matrix.rows(); ++r)
        for (std::size_t const column : columns)
            result.values.push_back(matrix.row(r)[column]);
    return result;
}

Judge train_judge(std::vector<RunWindows const*> const& runs, View const& view, TrainingOptions const& options)
{
    TrainingData const data = weighted(runs, label_of);
    Judge judge;
    if (options.kind == JudgeKind::logistic || options.kind == JudgeKind::anchored) {
        for (std::size_t i = 0; i < view.columns.size() && options.kind == JudgeKind::logistic; ++i)
            judge.logistic_columns.push_back(i);
        if (options.kind == JudgeKind::anchored)
            judge.logistic_columns = anchors_of(view);
        TrainingData part;
        part.matrix = only(data.matrix, judge.logistic_columns);
        part.labels = data.labels;
        part.weights = data.weights;
        judge.logistic = Logistic::train(part, options.kind == JudgeKind::anchored ? 0.1 : 30);
    }
    if (options.kind == JudgeKind::forest)
        judge.trees = Booster::train(data, {.rounds = 1,
                                            .trees_per_round = 150,
                                            .depth = 6,
                                            .learning_rate = 1,
                                            .row_share = 0.63,
                                            .column_share = 0.25,
                                            .smallest_child = 1,
                                            .l2 = 1,
                                            .seed = options.seed});
    else if (options.kind != JudgeKind::logistic)
        judge.trees = Booster::train(data, {.seed = options.seed});
    if (options.kind == JudgeKind::anchored)
        judge.limit = view.reads_only ? read_limit : write_limit;
    return judge;
}

} // namespace

Model train_model(std::vector<RunWindows const*> const& runs, View const& view, TrainingOptions const& options)
{
    auto const positives = std::ranges::count_if(runs, [](RunWindows const* run) { return run->ransomware; });
    if (positives == 0 || positives == static_cast<std::ptrdiff_t>(runs.size()))
        throw Error{
            fmt::format("training needs runs of both classes, but {} of {} are ransomware", positives, runs.size())};
    Model model;
    model.track = view.reads_only ? "reads" : "reads+writes";
    model.kind = options.kind;
    model.view = view;
    model.false_positive_budget = options.false_positive_budget;
    model.trained_on = fmt::format("{} runs, {} of them ransomware", runs.size(), positives);
    TrainJudge const train = [&](auto const& part) { return train_judge(part, view, options); };
    model.judge = train(runs);
    if (Unseen const unseen = judge_unseen(runs, view, options, model.consecutive, train); !unseen.windows.empty()) {
        calibrate(model.judge, unseen.windows);
        model.threshold = choose_threshold(model.judge, unseen, options.false_positive_budget);
    }
    return model;
}

Booster train_families(std::vector<RunWindows const*> const& runs, std::vector<std::string> const& programs,
                       std::uint32_t seed)
{
    TrainingData const data = weighted(runs, [&](RunWindows const& run, std::size_t) {
        return static_cast<float>(std::ranges::find(programs, run.place.program) - programs.begin());
    });
    return Booster::train(
        data, {.rounds = 60, .smallest_child = 1, .l2 = 1, .classes = static_cast<int>(programs.size()), .seed = seed});
}

} // namespace undercroft::analysis
