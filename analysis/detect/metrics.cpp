// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace undercroft::analysis {
namespace {

std::optional<double> ratio(std::size_t part, std::size_t whole)
{
    if (whole == 0)
        return {};
    return static_cast<double>(part) / static_cast<double>(whole);
}

double quantile(std::vector<double> const& sorted, double share)
{
    double const at = share * static_cast<double>(sorted.size() - 1);
    auto const low = static_cast<std::size_t>(at);
    std::size_t const high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] + (sorted[high] - sorted[low]) * (at - std::floor(at));
}

} // namespace

void Confusion::add(bool truth, bool alarm)
{
    if (truth)
        ++(alarm ? true_positives : false_negatives);
    else
        ++(alarm ? false_positives : true_negatives);
}

std::optional<double> Confusion::precision() const
{
    return ratio(true_positives, true_positives + false_positives);
}

std::optional<double> Confusion::recall() const
{
    return ratio(true_positives, true_positives + false_negatives);
}

std::optional<double> Confusion::f1() const
{
    return ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives);
}

std::optional<double> Confusion::false_positive_rate() const
{
    return ratio(false_positives, false_positives + true_negatives);
}

Confusion confusion_at(std::span<double const> scores, std::span<std::uint8_t const> truth, double threshold)
{
    Confusion result;
    for (std::size_t i = 0; i < scores.size(); ++i)
        result.add(truth[i] != 0, scores[i] >= threshold);
    return result;
}

std::vector<CurvePoint> curve_of(std::span<double const> scores, std::span<std::uint8_t const> truth)
{
    auto const positives =
        static_cast<std::size_t>(std::ranges::count_if(truth, [](auto value) { return value != 0; }));
    std::size_t const negatives = truth.size() - positives;
    if (positives == 0 || negatives == 0)
        return {};
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    std::vector<CurvePoint> curve;
    std::size_t hits = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        hits += truth[order[i]] != 0 ? 1 : 0;
        if (i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]])
            continue;
        auto const alarms = static_cast<double>(i + 1);
        curve.push_back({.threshold = scores[order[i]],
                         .recall = static_cast<double>(hits) / static_cast<double>(positives),
                         .precision = static_cast<double>(hits) / alarms,
                         .false_positive_rate = (alarms - static_cast<double>(hits)) / static_cast<double>(negatives)});
    }
    return curve;
}

std::optional<double> roc_auc(std::span<double const> scores, std::span<std::uint8_t const> truth)
{
    std::vector<CurvePoint> const curve = curve_of(scores, truth);
    if (curve.empty())
        return {};
    double area = 0;
    CurvePoint before;
    for (CurvePoint const& point : curve) {
        area += (point.false_positive_rate - before.false_positive_rate) * (point.recall + before.recall) / 2;
        before = point;
    }
    return area;
}

std::optional<double> pr_auc(std::span<double const> scores, std::span<std::uint8_t const> truth)
{
    std::vector<CurvePoint> const curve = curve_of(scores, truth);
    if (curve.empty())
        return {};
    double area = 0;
    double recall = 0;
    for (CurvePoint const& point : curve) {
        area += (point.recall - recall) * point.precision;
        recall = point.recall;
    }
    return area;
}

std::optional<Interval> interval_of(std::vector<double>& values)
{
    if (values.empty())
        return {};
    std::ranges::sort(values);
    return Interval{quantile(values, 0.025), quantile(values, 0.975)};
}

std::optional<double> quantile_of(std::vector<double> values, double share)
{
    if (values.empty())
        return {};
    std::ranges::sort(values);
    return quantile(values, share);
}

std::optional<double> median_of(std::vector<double> values)
{
    return quantile_of(std::move(values), 0.5);
}

} // namespace undercroft::analysis
