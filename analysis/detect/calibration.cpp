// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>

#include "analysis/detect/training_rows.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t folds = 6;

/// For each run the fold in which it is held out: a program's runs together, unless it is the only one of its class.
std::map<RunWindows const*, std::size_t> folds_of(std::vector<RunWindows const*> runs, std::uint32_t seed)
{
    std::mt19937 random{seed};
    std::ranges::shuffle(runs, random);
    std::map<RunWindows const*, std::size_t> result;
    std::size_t next = 0;
    for (bool const ransomware : {false, true}) {
        std::vector<std::string> programs;
        for (RunWindows const* const run : runs)
            if (run->ransomware == ransomware && std::ranges::find(programs, run->place.program) == programs.end())
                programs.push_back(run->place.program);
        for (RunWindows const* const run : runs)
            if (run->ransomware == ransomware) {
                auto const program = std::ranges::find(programs, run->place.program) - programs.begin();
                result[run] = (programs.size() > 1 ? static_cast<std::size_t>(program) : next++) % folds;
            }
    }
    return result;
}

double highest_stretch(RunWindows const& run, std::vector<double> const& margins, bool attack, std::uint32_t length)
{
    double highest = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i + length <= margins.size(); ++i) {
        double lowest = std::numeric_limits<double>::infinity();
        for (std::size_t k = i; k < i + length; ++k)
            lowest = std::min(lowest, run.truth(k) == attack ? margins[k] : -std::numeric_limits<double>::infinity());
        highest = std::max(highest, lowest);
    }
    return highest;
}

void add_unseen(RunWindows const& run, std::vector<double> const& margins, View const& view, std::uint32_t consecutive,
                Unseen& unseen)
{
    for (std::size_t i = 0; i < margins.size(); ++i)
        if (run.labelled ? is_training_row(run, i) : run.ends_ns[i] % view.windows_ns.front() == 0)
            unseen.windows.push_back(
                {margins[i], run.truth(i).value_or(false), 1.0 / static_cast<double>(margins.size())});
    for (bool const attack : {false, true})
        if (double const margin = highest_stretch(run, margins, attack, consecutive); std::isfinite(margin))
            unseen.runs.push_back({margin, attack});
}

} // namespace

Unseen judge_unseen(std::vector<RunWindows const*> const& runs, View const& view, TrainingOptions const& options,
                    std::uint32_t consecutive, TrainJudge const& train)
{
    auto const positives =
        static_cast<std::size_t>(std::ranges::count_if(runs, [](RunWindows const* run) { return run->ransomware; }));
    Unseen unseen;
    if (positives < 2 || runs.size() - positives < 2)
        return unseen;
    std::map<RunWindows const*, std::size_t> const fold_of = folds_of(runs, options.seed);
    for (std::size_t fold = 0; fold < folds; ++fold) {
        std::vector<RunWindows const*> training;
        std::vector<RunWindows const*> held;
        for (RunWindows const* const run : runs)
            (fold_of.at(run) == fold ? held : training).push_back(run);
        if (held.empty())
            continue;
        Judge const judge = train(training);
        for (RunWindows const* const run : held)
            add_unseen(*run, judge.margins(run->matrix), view, consecutive, unseen);
    }
    return unseen;
}

void calibrate(Judge& judge, std::vector<Scored> const& scored)
{
    TrainingData data;
    data.matrix.columns = 1;
    double positives = 0;
    double negatives = 0;
    for (Scored const& value : scored)
        (value.ransomware ? positives : negatives) += value.weight;
    for (Scored const& value : scored) {
        data.matrix.values.push_back(static_cast<float>(value.margin));
        data.labels.push_back(value.ransomware ? 1.0F : 0.0F);
        data.weights.push_back(static_cast<float>(10 * value.weight / (value.ransomware ? positives : negatives)));
    }
    Logistic const fit = Logistic::train(data, 0.1);
    Matrix const probe{.columns = 1, .values = {0.0F, 1.0F}};
    std::vector<float> const at = fit.margins(probe);
    double const slope = static_cast<double>(at[1]) - static_cast<double>(at[0]);
    if (slope > 0.05 && slope < 100) { // otherwise the margins told nothing: leave them as they are
        judge.slope = slope;
        judge.offset = static_cast<double>(at[0]);
    }
}

double choose_threshold(Judge const& judge, Unseen const& unseen, double budget)
{
    std::vector<double> benign;
    std::vector<double> attacks;
    for (Scored const& window : unseen.windows)
        if (!window.ransomware)
            benign.push_back(window.margin);
    for (ScoredStretch const& run : unseen.runs)
        if (run.ransomware)
            attacks.push_back(run.margin);
    if (benign.empty() || attacks.empty())
        return 0.5;
    std::ranges::sort(benign, std::greater<>{});
    std::ranges::sort(attacks);
    double const above_benign = benign[static_cast<std::size_t>(budget * static_cast<double>(benign.size()))];
    double const margin = std::min(above_benign, attacks[attacks.size() / 20]);
    return std::max(0.5, 1 / (1 + std::exp(-(judge.slope * margin + judge.offset))));
}

} // namespace undercroft::analysis
