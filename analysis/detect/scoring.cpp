// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/scoring.hpp"

#include <functional>
#include <map>
#include <random>

#include <nlohmann/json.hpp>

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

constexpr int draws = 400;

Json json_of(std::optional<double> const& value)
{
    return value ? Json(*value) : Json();
}

Json json_of(std::vector<double>& values)
{
    std::optional<Interval> const interval = interval_of(values);
    return interval ? Json::array({interval->low, interval->high}) : Json();
}

/// Runs drawn with replacement, as often as there are runs.
void add_intervals(Json& figures, std::vector<ScoredRun> const& runs, std::uint32_t seed)
{
    std::mt19937 random{seed};
    std::uniform_int_distribution<std::size_t> draw{0, runs.size() - 1};
    std::map<std::string, std::vector<double>> values;
    for (int i = 0; i < draws; ++i) {
        std::vector<ScoredRun> sample;
        for (std::size_t k = 0; k < runs.size(); ++k)
            sample.push_back(runs[draw(random)]);
        Tiles const tiles = tiles_of(sample);
        auto const keep = [&](char const* name, std::optional<double> const& value) {
            if (value)
                values[name].push_back(*value);
        };
        keep("f1", tiles.confusion.f1());
        keep("recall", tiles.confusion.recall());
        keep("fpr", tiles.confusion.false_positive_rate());
        keep("roc_auc", roc_auc(tiles.scores, tiles.truth));
    }
    for (auto& [name, list] : values)
        figures["interval_95"][name] = json_of(list);
}

Json windows_by(std::vector<ScoredRun> const& runs, std::function<std::string(RunWindows const&)> const& group_of)
{
    struct Group {
        bool ransomware{};
        std::size_t runs{};
        std::size_t runs_alarmed{};
        std::size_t windows{};
        std::size_t alarms{};
    };
    std::map<std::string, Group> groups;
    for (ScoredRun const& run : runs) {
        Group& group = groups[group_of(*run.run)];
        group.ransomware = run.run->ransomware;
        ++group.runs;
        group.runs_alarmed += run.alarmed_by_tiles() ? 1 : 0;
        for (std::size_t i = 0; i < run.probabilities.size(); ++i) {
            group.windows += run.is_tile(i) ? 1 : 0;
            group.alarms += run.is_tile(i) && run.probabilities[i] >= run.threshold ? 1 : 0;
        }
    }
    Json result = Json::object();
    for (auto const& [name, group] : groups)
        result[name] = {{"ransomware", group.ransomware},
                        {"runs", group.runs},
                        {"runs_alarmed", group.runs_alarmed},
                        {"windows", group.windows},
                        {"windows_alarmed", group.alarms}};
    return result;
}

/// Alerts as they would come live, at every step.
Json alerts_of(std::vector<ScoredRun> const& runs)
{
    std::vector<double> seconds;
    std::size_t false_alarms = 0;
    std::size_t missed = 0;
    for (ScoredRun const& run : runs) {
        std::int64_t const alert_ns = run.first_alert_ns();
        if (!run.run->ransomware)
            false_alarms += alert_ns >= 0 ? 1 : 0;
        else if (alert_ns < 0)
            ++missed;
        else
            seconds.push_back(static_cast<double>(alert_ns) * 1e-9);
    }
    return {{"median_s_since_start", json_of(median_of(seconds))}, {"missed", missed}, {"false_alarms", false_alarms}};
}

} // namespace

std::int64_t ScoredRun::first_alert_ns() const
{
    std::uint32_t in_a_row = 0;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
        in_a_row = probabilities[i] >= threshold ? in_a_row + 1 : 0;
        if (in_a_row == consecutive)
            return run->ends_ns[i];
    }
    return -1;
}

bool ScoredRun::alarmed_by_tiles() const
{
    std::uint32_t in_a_row = 0;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
        if (!is_tile(i))
            continue;
        in_a_row = probabilities[i] >= threshold ? in_a_row + 1 : 0;
        if (in_a_row == consecutive)
            return true;
    }
    return false;
}

ScoredRun score_run(RunWindows const& run, Model const& model)
{
    return {.run = &run,
            .probabilities = model.judge.probabilities(run.matrix),
            .threshold = model.threshold,
            .consecutive = model.consecutive,
            .tile_ns = model.view.windows_ns.front()};
}

Tiles tiles_of(std::vector<ScoredRun> const& runs)
{
    Tiles tiles;
    for (ScoredRun const& run : runs)
        for (std::size_t i = 0; i < run.probabilities.size(); ++i)
            if (run.is_tile(i)) {
                tiles.scores.push_back(run.probabilities[i]);
                tiles.truth.push_back(run.run->ransomware ? 1 : 0);
                tiles.confusion.add(run.run->ransomware, run.probabilities[i] >= run.threshold);
            }
    return tiles;
}

Json figures_of(std::vector<ScoredRun> const& runs, std::uint32_t seed)
{
    Tiles const tiles = tiles_of(runs);
    Confusion by_run;
    Confusion without_leak;
    for (ScoredRun const& run : runs) {
        by_run.add(run.run->ransomware, run.alarmed_by_tiles());
        for (std::size_t i = 0; i < run.probabilities.size(); ++i)
            if (run.is_tile(i) && !run.run->has_leak)
                without_leak.add(run.run->ransomware, run.probabilities[i] >= run.threshold);
    }
    Json figures{
        {"windows", tiles.scores.size()},
        {"threshold", runs.empty() ? Json() : Json(runs.front().threshold)},
        {"f1", json_of(tiles.confusion.f1())},
        {"precision", json_of(tiles.confusion.precision())},
        {"recall", json_of(tiles.confusion.recall())},
        {"recall_without_leak", json_of(without_leak.recall())},
        {"fpr", json_of(tiles.confusion.false_positive_rate())},
        {"roc_auc", json_of(roc_auc(tiles.scores, tiles.truth))},
        {"pr_auc", json_of(pr_auc(tiles.scores, tiles.truth))},
        {"runs",
         {{"ransomware", by_run.true_positives + by_run.false_negatives},
          {"benign", by_run.false_positives + by_run.true_negatives},
          {"missed", by_run.false_negatives},
          {"false_alarms", by_run.false_positives},
          {"f1", json_of(by_run.f1())}}},
        {"alerts", alerts_of(runs)},
        {"programs", windows_by(runs, [](RunWindows const& run) { return run.place.program; })},
        {"environments", windows_by(runs,
                                    [](RunWindows const& run) {
                                        return run.place.environment + (run.ransomware ? ", ransomware" : ", benign");
                                    })},
    };
    if (!runs.empty())
        add_intervals(figures, runs, seed);
    return figures;
}

} // namespace undercroft::analysis
