// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a model said of each run, and the figures of that.
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "analysis/detect/metrics.hpp"
#include "analysis/detect/model.hpp"
#include "analysis/detect/training.hpp"

namespace undercroft::analysis {

/// Probabilities of one run's windows, one per step.
struct ScoredRun {
    RunWindows const* run{};
    std::vector<double> probabilities;
    double threshold{};
    std::uint32_t consecutive = 2;
    double sure_threshold = 2;
    std::int64_t tile_ns{}; ///< windows that end at multiples of this do not overlap: they make the window figures

    /// Attacks of the test bed are shorter than two such windows: there every second counts.
    [[nodiscard]] bool is_tile(std::size_t row) const { return run->labelled || run->ends_ns[row] % tile_ns == 0; }
    /// The row of the first alert at the view's step, in the attack or outside of it.
    [[nodiscard]] std::optional<std::size_t> first_alert(bool attack) const;
    /// So many tiles in a row at the threshold or above, in the attack or outside of it. A run that is too short for so
    /// many: first_alert.
    [[nodiscard]] bool alarmed_by_tiles(bool attack) const;
    /// The highest probability that `consecutive` windows in a row reach, in the attack or outside of it.
    [[nodiscard]] double highest(bool attack) const;
};

[[nodiscard]] ScoredRun score_run(RunWindows const& run, Model const& model);

/// Scores and truth of all tiles of the runs.
struct Tiles {
    std::vector<double> scores;
    std::vector<std::uint8_t> truth;
    Confusion confusion; ///< at each run's own threshold
};
[[nodiscard]] Tiles tiles_of(std::vector<ScoredRun> const& runs);

/// Of each run: whether it was alarmed about, when and at what cost the first alert came, the highest probability.
[[nodiscard]] nlohmann::json run_list(std::vector<ScoredRun> const& runs);

/// f1, precision, recall, fpr, roc_auc, pr_auc (null where undefined), with 95 % intervals from drawing runs anew;
/// runs missed and falsely alarmed; alerts' times; shares per program and environment.
[[nodiscard]] nlohmann::json figures_of(std::vector<ScoredRun> const& runs, std::uint32_t seed);

} // namespace undercroft::analysis
