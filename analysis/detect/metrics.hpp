// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Figures of a classifier's scores against the truth.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace undercroft::analysis {

struct Confusion {
    std::size_t true_positives{};
    std::size_t false_positives{};
    std::size_t false_negatives{};
    std::size_t true_negatives{};

    void add(bool truth, bool alarm);
    // Each is empty where nothing is there to divide by.
    [[nodiscard]] std::optional<double> precision() const;
    [[nodiscard]] std::optional<double> recall() const;
    [[nodiscard]] std::optional<double> f1() const;
    [[nodiscard]] std::optional<double> false_positive_rate() const;
};

[[nodiscard]] Confusion confusion_at(std::span<double const> scores, std::span<std::uint8_t const> truth,
                                     double threshold);

/// A point of the curves: what an alarm at `threshold` and above gives.
struct CurvePoint {
    double threshold{};
    double recall{};
    double precision{};
    double false_positive_rate{};
};
/// From the highest threshold to the lowest, one point per distinct score. Empty unless both classes are there.
[[nodiscard]] std::vector<CurvePoint> curve_of(std::span<double const> scores, std::span<std::uint8_t const> truth);

/// Area under recall over false-positive rate, ties by half. Empty unless both classes are there.
[[nodiscard]] std::optional<double> roc_auc(std::span<double const> scores, std::span<std::uint8_t const> truth);
/// Average precision: the sum of precision * gain in recall. Empty unless both classes are there.
[[nodiscard]] std::optional<double> pr_auc(std::span<double const> scores, std::span<std::uint8_t const> truth);

/// 2.5 % and 97.5 % of the values, by linear interpolation. `values` is sorted.
struct Interval {
    double low{};
    double high{};
};
[[nodiscard]] std::optional<Interval> interval_of(std::vector<double>& values);
/// `share` of the values are below it, by linear interpolation. Empty without values.
[[nodiscard]] std::optional<double> quantile_of(std::vector<double> values, double share);
[[nodiscard]] std::optional<double> median_of(std::vector<double> values);

} // namespace undercroft::analysis
