// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/scoring.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>
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
        group.runs_alarmed += run.alarmed_by_tiles(run.run->ransomware) ? 1 : 0;
        for (std::size_t i = 0; i < run.probabilities.size(); ++i) {
            bool const counts = run.is_tile(i) && run.run->truth(i) == run.run->ransomware;
            group.windows += counts ? 1 : 0;
            group.alarms += counts && run.probabilities[i] >= run.threshold ? 1 : 0;
        }
    }
    Json result = Json::object();
    for (auto const& [name, group] : groups) {
        double const rate = static_cast<double>(group.alarms) / static_cast<double>(group.windows);
        result[name] = {{"ransomware", group.ransomware},
                        {group.ransomware ? "recall" : "fpr", group.windows == 0 ? Json() : Json(rate)},
                        {"runs", group.runs},
                        {"runs_alarmed", group.runs_alarmed},
                        {"windows", group.windows},
                        {"windows_alarmed", group.alarms}};
    }
    return result;
}

/// Files whose first write came before the alert, and their share of the corpus; without an alert all that were
/// touched.
double files_lost(ScoredRun const& run, std::int64_t alert_ns)
{
    auto const lost = std::ranges::upper_bound(run.run->touched_ns, alert_ns) - run.run->touched_ns.begin();
    return static_cast<double>(lost) / static_cast<double>(std::max<std::uint64_t>(run.run->corpus_files, 1));
}

/// Written from the attack's begin to the alert.
double bytes_before(ScoredRun const& run, std::size_t alert)
{
    auto const first = std::ranges::upper_bound(run.run->ends_ns, run.run->attack_begin_ns) - run.run->ends_ns.begin();
    std::uint64_t const before = first == 0 ? 0 : run.run->written_bytes[static_cast<std::size_t>(first) - 1];
    return static_cast<double>(run.run->written_bytes[alert] - before);
}

/// What a run's first alert came to, live, at every step.
struct AlertOf {
    bool ransomware{};
    bool false_alarm{};
    std::optional<double> seconds; ///< since the attack's begin; empty: no alert
    std::optional<double> bytes;
    std::optional<double> lost;
};

AlertOf alert_of(ScoredRun const& run)
{
    AlertOf result;
    result.ransomware = run.run->ransomware;
    result.false_alarm = run.first_alert(false).has_value();
    if (!result.ransomware)
        return result;
    std::optional<std::size_t> const alert = run.first_alert(true);
    std::int64_t const alert_ns = alert ? run.run->ends_ns[*alert] : std::numeric_limits<std::int64_t>::max();
    if (!run.run->touched_ns.empty())
        result.lost = files_lost(run, alert_ns);
    if (alert) {
        result.seconds = static_cast<double>(alert_ns - run.run->attack_begin_ns) * 1e-9;
        if (run.run->has_writes)
            result.bytes = bytes_before(run, *alert);
    }
    return result;
}

Json quartiles_of(std::vector<double> const& values)
{
    return Json::array({json_of(quantile_of(values, 0.25)), json_of(quantile_of(values, 0.75))});
}

/// Values that are there.
std::vector<double> collect(std::vector<AlertOf> const& alerts, std::optional<double> AlertOf::* which)
{
    std::vector<double> values;
    for (AlertOf const& alert : alerts)
        if (alert.*which)
            values.push_back(*(alert.*which));
    return values;
}

Json alerts_of(std::vector<ScoredRun> const& runs)
{
    std::vector<AlertOf> alerts;
    std::ranges::transform(runs, std::back_inserter(alerts), alert_of);
    std::vector<double> const seconds = collect(alerts, &AlertOf::seconds);
    std::vector<double> const bytes = collect(alerts, &AlertOf::bytes);
    std::vector<double> const lost = collect(alerts, &AlertOf::lost);
    auto const attacks = std::ranges::count_if(alerts, &AlertOf::ransomware);
    return {{"median_s_since_start", json_of(median_of(seconds))},
            {"quartiles_s_since_start", quartiles_of(seconds)},
            {"median_bytes_written", json_of(median_of(bytes))},
            {"quartiles_bytes_written", quartiles_of(bytes)},
            {"median_files_lost_share", json_of(median_of(lost))},
            {"quartiles_files_lost_share", quartiles_of(lost)},
            {"missed", static_cast<std::size_t>(attacks) - seconds.size()},
            {"false_alarms", std::ranges::count_if(alerts, &AlertOf::false_alarm)}};
}

} // namespace

std::optional<std::size_t> ScoredRun::first_alert(bool attack) const
{
    std::uint32_t in_a_row = 0;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
        in_a_row = probabilities[i] >= threshold ? in_a_row + 1 : 0;
        bool const alert = in_a_row >= consecutive || probabilities[i] >= sure_threshold;
        if (alert && run->truth(i) == attack)
            return i;
    }
    return {};
}

bool ScoredRun::alarmed_by_tiles(bool attack) const
{
    if (run->ends_ns.empty() || run->ends_ns.back() < tile_ns * consecutive)
        return first_alert(attack).has_value();
    std::uint32_t in_a_row = 0;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
        if (!is_tile(i) || run->truth(i) != attack)
            continue;
        in_a_row = probabilities[i] >= threshold ? in_a_row + 1 : 0;
        if (in_a_row == consecutive)
            return true;
    }
    return false;
}

double ScoredRun::highest(bool attack) const
{
    double highest = 0;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
        double lowest = 1;
        for (std::size_t k = 0; k < consecutive; ++k)
            lowest = std::min(lowest,
                              i + k < probabilities.size() && run->truth(i + k) == attack ? probabilities[i + k] : 0);
        highest = std::max(highest, lowest);
    }
    return highest;
}

ScoredRun score_run(RunWindows const& run, Model const& model)
{
    return {.run = &run,
            .probabilities = model.judge.probabilities(run.matrix),
            .threshold = model.threshold,
            .consecutive = model.consecutive,
            .sure_threshold = model.sure_threshold,
            .tile_ns = model.view.windows_ns.front()};
}

Tiles tiles_of(std::vector<ScoredRun> const& runs)
{
    Tiles tiles;
    for (ScoredRun const& run : runs)
        for (std::size_t i = 0; i < run.probabilities.size(); ++i)
            if (std::optional<bool> const truth = run.run->truth(i); truth && run.is_tile(i)) {
                tiles.scores.push_back(run.probabilities[i]);
                tiles.truth.push_back(*truth ? 1 : 0);
                tiles.confusion.add(*truth, run.probabilities[i] >= run.threshold);
            }
    return tiles;
}

namespace {

/// Of runs by the highest probability that `consecutive` windows in a row reach: the share of benign runs above the
/// threshold that keeps 95 % of the ransomware runs.
std::optional<double> benign_share_at_95_recall(std::vector<ScoredRun> const& runs)
{
    std::vector<double> benign;
    std::vector<double> ransomware;
    for (ScoredRun const& run : runs)
        (run.run->ransomware ? ransomware : benign).push_back(run.highest(run.run->ransomware));
    if (benign.empty() || ransomware.empty())
        return {};
    std::ranges::sort(ransomware);
    double const threshold = ransomware[ransomware.size() / 20];
    auto const above = std::ranges::count_if(benign, [&](double score) { return score >= threshold; });
    return static_cast<double>(above) / static_cast<double>(benign.size());
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
        keep("precision", tiles.confusion.precision());
        keep("roc_auc", roc_auc(tiles.scores, tiles.truth));
        keep("pr_auc", pr_auc(tiles.scores, tiles.truth));
        keep("benign_share_at_95_recall", benign_share_at_95_recall(sample));
        std::vector<AlertOf> drawn;
        std::ranges::transform(sample, std::back_inserter(drawn), alert_of);
        keep("median_s_since_start", median_of(collect(drawn, &AlertOf::seconds)));
        keep("median_files_lost_share", median_of(collect(drawn, &AlertOf::lost)));
    }
    for (auto& [name, list] : values)
        figures["interval_95"][name] = json_of(list);
}

} // namespace

Json run_list(std::vector<ScoredRun> const& runs)
{
    Json list = Json::array();
    for (ScoredRun const& run : runs) {
        AlertOf const alert = alert_of(run);
        list.push_back(
            {{"run", run.run->place.path},
             {"program", run.run->place.program},
             {"environment", run.run->place.environment},
             {"ransomware", run.run->ransomware},
             {"seconds", run.run->ends_ns.empty() ? 0.0 : static_cast<double>(run.run->ends_ns.back()) * 1e-9},
             {"threshold", run.threshold},
             {"highest", run.highest(run.run->ransomware)},
             {"alarmed", run.alarmed_by_tiles(run.run->ransomware)},
             {"false_alert", alert.false_alarm},
             {"first_alert_s", json_of(alert.seconds)},
             {"bytes_written_before", json_of(alert.bytes)},
             {"files_lost_share", json_of(alert.lost)}});
    }
    return list;
}

Json figures_of(std::vector<ScoredRun> const& runs, std::uint32_t seed)
{
    Tiles const tiles = tiles_of(runs);
    Confusion by_run;
    Confusion without_leak;
    for (ScoredRun const& run : runs) {
        by_run.add(run.run->ransomware, run.alarmed_by_tiles(run.run->ransomware));
        if (run.run->labelled && run.run->ransomware) // and the time before its attack is a benign run
            by_run.add(false, run.alarmed_by_tiles(false));
        for (std::size_t i = 0; i < run.probabilities.size(); ++i)
            if (std::optional<bool> const truth = run.run->truth(i); truth && run.is_tile(i) && !run.run->has_leak)
                without_leak.add(*truth, run.probabilities[i] >= run.threshold);
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
          {"f1", json_of(by_run.f1())},
          {"benign_share_at_95_recall", json_of(benign_share_at_95_recall(runs))}}},
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
