// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs as rows of features, and models from them.
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "analysis/detect/model.hpp"
#include "analysis/traces/run_folder.hpp"

namespace undercroft::analysis {

/// A run's windows, one row per step of the view.
struct RunWindows {
    RunPlace place;
    bool ransomware{};
    bool labelled{};                ///< when the attack was is known; otherwise it is the whole run
    std::int64_t attack_begin_ns{}; ///< since the run's start, as are all times here
    std::int64_t attack_end_ns = std::numeric_limits<std::int64_t>::max();
    std::uint64_t corpus_files{};
    std::vector<std::int64_t> touched_ns; ///< of each file: first write by the attack
    bool has_writes{};
    bool has_leak{}; ///< carries the beat of repeated reads (docs/detection.md)
    std::int64_t start_ns{};
    std::vector<std::int64_t> ends_ns;        ///< since the run's start
    std::vector<std::uint64_t> written_bytes; ///< until each of them
    Matrix matrix;

    /// Whether a window is of an attack; empty: it is after the attack's end, and neither.
    [[nodiscard]] std::optional<bool> truth(std::size_t row) const
    {
        if (!ransomware || ends_ns[row] <= attack_begin_ns)
            return false;
        return ends_ns[row] <= attack_end_ns ? std::optional{true} : std::nullopt;
    }
};

/// Which programs are ransomware, by the names of their folders; neither case nor a version behind the name counts
/// ("GandCrab4").
class Labels {
public:
    /// Empty: those of RanSAP and RanSMAP, and some that are well known.
    explicit Labels(std::vector<std::string> ransomware = {});
    [[nodiscard]] bool is_ransomware(std::string const& program) const;

private:
    std::vector<std::string> ransomware_;
};

/// The view of a track: 10 s for what happens now, 5 min for what led there, 3 s for what has just begun. The first
/// window is the one that figures are made of.
[[nodiscard]] View make_view(FeatureSet set, bool reads_only, std::vector<std::int64_t> windows_ns);

/// Index of it in View::windows_ns.
[[nodiscard]] std::size_t longest_window(View const& view);

[[nodiscard]] RunWindows windows_of(TraceRun const& run, Labels const& labels, View const& view);

struct TrainingOptions {
    JudgeKind kind = JudgeKind::anchored;
    double false_positive_budget = 0.01;
    std::uint32_t seed = 1;
};

/// Trains on all windows of the runs; those of a ransomware run are all positive unless its labels say when the attack
/// was. Runs of a program weigh the same,
/// programs of a class the same, classes the same. Calibration and threshold come from predictions for runs whose
/// program the predicting model has not seen (6 folds by program; by run where a class has one program only). Throws
/// Error unless both classes have runs.
[[nodiscard]] Model train_model(std::vector<RunWindows const*> const& runs, View const& view,
                                TrainingOptions const& options);

/// One program per class, by the order of `programs`; for telling families apart.
[[nodiscard]] Booster train_families(std::vector<RunWindows const*> const& runs,
                                     std::vector<std::string> const& programs, std::uint32_t seed);

} // namespace undercroft::analysis
