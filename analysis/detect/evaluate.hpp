// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Trains on one folder of runs and tests on another: the figures of docs/detection.md.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/detect/scoring.hpp"

namespace undercroft::analysis {

struct EvaluationOptions {
    std::filesystem::path train;
    std::filesystem::path test; ///< the same folder: split by run, docs/detection.md says how
    std::vector<std::string> ransomware;
    SubSecondScale scale = SubSecondScale::two_to_30;
    bool keep_leak = false;
    JudgeKind kind = JudgeKind::anchored; ///< of the main model; the others are there to compare
    bool main_only = false;               ///< leave the others out
    double false_positive_budget = 0.01;
    /// As make_view takes them. Candidates without context look at the first one only.
    std::vector<std::int64_t> windows_ns{10'000'000'000, 300'000'000'000, 3'000'000'000};
    std::uint32_t seeds = 3;
};

/// A curve to draw.
struct NamedCurve {
    std::string name;
    std::vector<CurvePoint> points;
};

struct Evaluation {
    nlohmann::json figures;
    std::vector<NamedCurve> curves;
};

/// `progress` gets a line now and then. Throws Error when a folder cannot be used.
[[nodiscard]] Evaluation evaluate(EvaluationOptions const& options,
                                  std::function<void(std::string const&)> const& progress);

/// A run that is both in the training and in the test folder is tested on no account: it is taken out of `test`.
/// With the same folder for both: per machine and program, the first half of the runs by name trains, the others
/// test; a single run tests.
void split_runs(std::vector<RunPlace>& train, std::vector<RunPlace>& test, bool same_folder);

/// Which program a run is, from its windows, judged by a model of `train`'s programs: macro F1 over the programs that
/// are in both. Null with fewer than three programs.
[[nodiscard]] nlohmann::json family_figures(std::vector<RunWindows const*> const& train,
                                            std::vector<RunWindows const*> test);

[[nodiscard]] std::string report_of(nlohmann::json const& figures);
void draw_curves(std::vector<NamedCurve> const& curves, std::filesystem::path const& file);

} // namespace undercroft::analysis
