// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a judge's margins mean: calibration and threshold, from what judges like it say of runs that they have not seen.
#include <cstdint>
#include <functional>
#include <vector>

#include "analysis/detect/training.hpp"

namespace undercroft::analysis {

struct Scored {
    double margin{};
    bool ransomware{};
    double weight{}; ///< a run's windows weigh 1 together
};

/// The highest margin that so many windows in a row of a run reach.
struct ScoredStretch {
    double margin{};
    bool ransomware{};
};

/// What judges say of runs that they have not seen, nor, where a class has several, their programs.
struct Unseen {
    std::vector<Scored> windows;
    std::vector<ScoredStretch> runs;
};

using TrainJudge = std::function<Judge(std::vector<RunWindows const*> const&)>;

/// Six folds, each judged by what `train` makes of the others. Empty when a class has fewer than two runs.
[[nodiscard]] Unseen judge_unseen(std::vector<RunWindows const*> const& runs, View const& view,
                                  TrainingOptions const& options, std::uint32_t consecutive, TrainJudge const& train);

/// Platt: logistic regression of the class on the margin.
void calibrate(Judge& judge, std::vector<Scored> const& scored);

/// So high that the budget of benign windows is above it, but not so high that more than one attack in twenty would be
/// lost, and never below 0.5: where attacks cannot be told from nothing at all, they are missed, not alarmed about.
[[nodiscard]] double choose_threshold(Judge const& judge, Unseen const& unseen, double budget);

} // namespace undercroft::analysis
