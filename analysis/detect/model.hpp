// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A trained detector: what it looks at, how it judges, and from which probability on it alarms. Stored as JSON
// (docs/formats/model.md); a file that does not fit is refused, whatever it holds.
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/detect/booster.hpp"
#include "analysis/detect/logistic.hpp"
#include "analysis/features/catalogue.hpp"

namespace undercroft::analysis {

/// What a judge looks at.
struct View {
    std::vector<std::int64_t> windows_ns;
    std::int64_t step_ns = 1'000'000'000;
    bool reads_only{}; ///< writes are left out: for traces that lack them
    bool first_reads_only = true;
    std::vector<FeatureColumn> columns;

    /// Whether such an access is looked at.
    [[nodiscard]] bool takes(TraceKind kind) const
    {
        bool const storage = kind <= TraceKind::trim;
        return reads_only ? kind == TraceKind::read : storage;
    }

    [[nodiscard]] ExtractorOptions extractor_options() const;
    [[nodiscard]] std::vector<std::string> column_names() const;
};

enum class JudgeKind : std::uint8_t {
    boosted,  ///< XGBoost's boosted trees
    forest,   ///< XGBoost's random forest
    logistic, ///< logistic regression on all columns
    anchored, ///< logistic regression on a few columns, corrected by boosted trees within a limit
};
[[nodiscard]] std::string_view to_string(JudgeKind kind);
/// Throws Error that lists the names.
[[nodiscard]] JudgeKind judge_kind_of(std::string_view name);

/// log-odds = logistic part + trees cut to [-limit, limit]; either part may be missing.
class Judge {
public:
    std::optional<Logistic> logistic;
    std::vector<std::size_t> logistic_columns; ///< which columns the logistic part takes
    std::optional<Booster> trees;
    std::optional<double> limit;
    /// Platt's calibration: probability = 1 / (1 + exp(-(slope * log-odds + offset))).
    double slope = 1;
    double offset = 0;

    [[nodiscard]] std::vector<double> margins(Matrix const& matrix) const;
    [[nodiscard]] std::vector<double> probabilities(Matrix const& matrix) const;
    /// What each column added to the calibrated log-odds: rows * columns (SHAP values of the trees, cut in
    /// proportion; terms of the logistic part relative to the training rows' mean).
    [[nodiscard]] std::vector<double> contributions(Matrix const& matrix) const;
};

struct Model {
    std::string track; ///< "reads+writes" or "reads"
    JudgeKind kind{};
    View view;
    Judge judge;
    double threshold = 0.5;
    double false_positive_budget{}; ///< share of benign windows that the threshold was chosen for
    std::uint32_t consecutive = 2;  ///< windows in a row at the threshold or above that make an alert
    double sure_threshold = 2;      ///< one window from here on makes one at once; above 1: never
    std::string trained_on;         ///< for people
};

/// One model per track, the one for more data first.
struct ModelFile {
    std::vector<Model> models;
    std::string origin{}; ///< for people: whose data, how to make it again
    std::string name{};   ///< first 12 digits of the file's SHA-256; empty unless it was loaded

    void save(std::filesystem::path const& file) const;
    /// Throws Error that names the file and what is wrong.
    static ModelFile load(std::filesystem::path const& file);
    /// For what is not a file (tests, fuzzing).
    static ModelFile from_json(nlohmann::json const& json);
    [[nodiscard]] nlohmann::json to_json() const;
    /// The model for a trace with or without writes. Throws Error when there is none.
    [[nodiscard]] Model const& for_trace(bool has_writes) const;
};

} // namespace undercroft::analysis
