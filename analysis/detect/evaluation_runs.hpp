// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The runs of an evaluation's folders, read once for all the ways to judge them.
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "analysis/detect/candidates.hpp"

namespace undercroft::analysis {

/// The runs of both folders as one view sees them.
struct ViewedRuns {
    View view;
    std::vector<RunWindows> train;
    std::vector<RunWindows> test;
};

class EvaluationRuns {
public:
    using Progress = std::function<void(std::string const&)>;

    /// Reads all runs. Throws Error when a folder cannot be used.
    EvaluationRuns(EvaluationOptions const& options, Progress const& progress);

    [[nodiscard]] ViewedRuns const& of(Candidate const& candidate, bool reads_only) const;
    /// Three columns: writes per second, share of them over what was read, mean entropy.
    [[nodiscard]] ViewedRuns const& for_rule() const { return views_.at("rule"); }
    /// One folder is both for training and for testing.
    [[nodiscard]] bool one_folder() const { return one_folder_; }
    /// What was read and how it was taken, for the report.
    void describe(nlohmann::json& figures) const;

private:
    void load(std::vector<RunPlace> const& places, std::vector<RunWindows> ViewedRuns::* where);
    void load_one(RunPlace const& place, std::vector<RunWindows> ViewedRuns::* where);

    EvaluationOptions const& options_;
    Progress const& progress_;
    Labels labels_;
    std::map<std::string, ViewedRuns> views_;
    bool one_folder_{};
    nlohmann::json split_;
    nlohmann::json left_out_;
    std::set<std::string> ransomware_;
    std::set<std::string> benign_;
    Complaints complaints_;
};

} // namespace undercroft::analysis
