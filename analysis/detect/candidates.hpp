// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The ways to judge that an evaluation compares.
#include <string>
#include <vector>

#include "analysis/detect/evaluate.hpp"

namespace undercroft::analysis {

struct Candidate {
    std::string name;
    FeatureSet features;
    bool with_context;
    JudgeKind kind;
};

/// The main one first.
[[nodiscard]] std::vector<Candidate> candidates_of(EvaluationOptions const& options, bool reads_only);

[[nodiscard]] View view_of(Candidate const& candidate, EvaluationOptions const& options, bool reads_only);

} // namespace undercroft::analysis
