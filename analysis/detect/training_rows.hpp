// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which windows of which runs teach, and how much each.
#include <cstddef>
#include <functional>
#include <vector>

#include "analysis/detect/training.hpp"

namespace undercroft::analysis {

/// Rows to train on: every 5 s, and the first seconds, so that an early alert is learnt too; of a run whose attack is
/// known to the second, all.
[[nodiscard]] bool is_training_row(RunWindows const& run, std::size_t row);

/// 1: of an attack.
[[nodiscard]] float label_of(RunWindows const& run, std::size_t row);

using RowLabel = std::function<float(RunWindows const&, std::size_t)>;

/// Every run of a program the same, every program of a class the same, every class the same; on average 1. What a
/// ransomware run holds before its attack is a benign program of its own, "before the attack".
[[nodiscard]] TrainingData weighted(std::vector<RunWindows const*> const& runs, RowLabel const& label);

} // namespace undercroft::analysis
