// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/evaluate.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/detect/evaluation_runs.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;
using RunList = std::vector<RunWindows const*>;

/// What the figures mean, kept with them.
Json definitions()
{
    return {
        {"windows", "verdicts on windows that do not overlap (test bed's runs: every second); f1, precision, recall, "
                    "fpr and the areas under the curves are of these"},
        {"truth", "every window of a ransomware run is one of ransomware; in the test bed's runs those that hold the "
                  "attack"},
        {"runs", "alarmed about: by two such windows in a row; a run too short for two is judged every second"},
        {"alerts", "as they come live: every second, two seconds in a row. s_since_start: since the attack's begin, "
                   "of published runs the run's. missed and false_alarms count runs"},
        {"bytes_written", "by the whole machine from the attack's begin to the first alert"},
        {"files_lost_share", "files that the attack had begun to write by the first alert, of all files; known of "
                             "the test bed's runs only"},
        {"benign_share_at_95_recall", "benign runs whose highest probability (two windows in a row) reaches the value "
                                      "that keeps 95 % of the ransomware runs"},
        {"threshold", "probability from which on a window counts; chosen from training runs alone"},
        {"unseen_programs", "each program judged by a model whose training runs lack it"},
        {"unseen_environments", "each machine or file system judged by a model whose training runs lack it"},
        {"interval_95", "2.5 % and 97.5 % of 400 draws of runs with replacement"},
        {"all runs", "each test run once, by the model for what it holds: reads and writes, or reads only"}};
}

RunList list_of(std::vector<RunWindows> const& runs)
{
    RunList result;
    for (RunWindows const& run : runs)
        result.push_back(&run);
    return result;
}

bool has_both(RunList const& runs)
{
    bool const some = std::ranges::any_of(runs, [](RunWindows const* run) { return run->ransomware; });
    return some && !std::ranges::all_of(runs, [](RunWindows const* run) { return run->ransomware; });
}

class Evaluator {
public:
    Evaluator(EvaluationOptions const& options, std::function<void(std::string const&)> const& progress)
        : options_{options}, progress_{progress}, runs_{options, progress}
    {
    }

    Evaluation run()
    {
        result_.figures["undercroft_evaluation"] = 2;
        result_.figures["definitions"] = definitions();
        runs_.describe(result_.figures);
        for (bool const reads_only : {false, true}) {
            std::string const name = reads_only ? "reads" : "reads+writes";
            if (std::string const why = reason_against(reads_only); !why.empty()) {
                result_.figures["tracks_left_out"][name] = why;
                progress_(fmt::format("{}: left out: {}", name, why));
                continue;
            }
            Json const track = track_figures(reads_only);
            result_.figures["tracks"][name] = track;
            result_.figures["summary"][name] = summary_of(track);
            result_.figures["summary"][name]["run_list"] = run_list(main_.at(reads_only));
        }
        all_runs();
        ViewedRuns const& by_reads = runs_.of(candidates_of(options_, true).front(), true);
        result_.figures["families"] = family_figures(list_of(by_reads.train), list_of(by_reads.test));
        return std::move(result_);
    }

private:
    /// The main model's figures in one place.
    static Json summary_of(Json const& track)
    {
        Json const& main = track["models"][0];
        Json summary = main["figures"];
        summary["model"] = main["name"];
        for (char const* const what : {"programs", "environments"})
            if (std::string const name = fmt::format("unseen_{}_pooled", what);
                track.contains(name) && track[name].contains(main["name"]))
                summary[fmt::format("unseen_{}", what)] = track[name][main["name"]];
        return summary;
    }

    /// Of one program or machine among those that were held out.
    static Json short_figures(Json const& figures)
    {
        Json result{{"runs", figures["runs"]}, {"alerts", figures["alerts"]}, {"programs", figures["programs"]}};
        for (char const* const name : {"windows", "f1", "recall", "fpr", "roc_auc", "threshold"})
            result[name] = figures[name];
        return result;
    }

    /// Why nothing can be trained or tested; empty: it can.
    std::string reason_against(bool reads_only)
    {
        ViewedRuns const& runs = runs_.of(candidates_of(options_, reads_only).front(), reads_only);
        char const* const what = reads_only ? "reads" : "writes";
        auto const attacks = std::ranges::count_if(runs.train, &RunWindows::ransomware);
        if (!has_both(list_of(runs.train)))
            return fmt::format("training needs runs of both classes with {}; of {} such runs {} are of ransomware",
                               what, runs.train.size(), attacks);
        return runs.test.empty() ? fmt::format("no run to test has {}", what) : "";
    }

    Json track_figures(bool reads_only)
    {
        Json track;
        bool primary = true;
        for (Candidate const& candidate : candidates_of(options_, reads_only)) {
            ViewedRuns const& runs = runs_.of(candidate, reads_only);
            RunList const train = list_of(runs.train);
            Json all_seeds = Json::array();
            for (std::uint32_t seed = 1; seed <= (primary ? options_.seeds : 1); ++seed) {
                Model const model = train_model(train, runs.view, training_options(candidate, seed));
                std::vector<ScoredRun> const scored = score(model, runs.test);
                Json const figures = figures_of(scored, seed);
                if (seed == 1) {
                    track["models"].push_back({{"name", candidate.name}, {"figures", figures}});
                    add_curve(candidate.name, scored);
                    if (primary)
                        main_[reads_only] = scored;
                }
                all_seeds.push_back({{"f1", figures["f1"]}, {"roc_auc", figures["roc_auc"]}, {"fpr", figures["fpr"]}});
            }
            if (primary)
                track["seeds"] = all_seeds;
            if (candidate.with_context && candidate.features != FeatureSet::payload_free)
                unseen(candidate, runs, "programs", [](RunWindows const& run) { return run.place.program; }, track);
            if (primary)
                unseen(
                    candidate, runs, "environments", [](RunWindows const& run) { return run.place.environment; },
                    track);
            primary = false;
            progress_(fmt::format("{}: done", candidate.name));
        }
        if (!reads_only)
            track["models"].push_back({{"name", "one-line rule"}, {"figures", rule_figures()}});
        return track;
    }

    [[nodiscard]] TrainingOptions training_options(Candidate const& candidate, std::uint32_t seed) const
    {
        return {.kind = candidate.kind, .false_positive_budget = options_.false_positive_budget, .seed = seed};
    }

    static std::vector<ScoredRun> score(Model const& model, std::vector<RunWindows> const& runs)
    {
        std::vector<ScoredRun> result;
        for (RunWindows const& run : runs)
            result.push_back(score_run(run, model));
        return result;
    }

    void add_curve(std::string const& name, std::vector<ScoredRun> const& scored)
    {
        Tiles const tiles = tiles_of(scored);
        result_.curves.push_back({name, curve_of(tiles.scores, tiles.truth)});
    }

    /// Each group of runs (a program, a machine), judged by a model whose training runs lack it. With one folder for
    /// both, all runs take part.
    void unseen(Candidate const& candidate, ViewedRuns const& runs, std::string const& what,
                std::function<std::string(RunWindows const&)> const& group_of, Json& track)
    {
        RunList training = list_of(runs.train);
        RunList testing = list_of(runs.test);
        if (runs_.one_folder()) {
            training.insert(training.end(), testing.begin(), testing.end());
            testing = training;
        }
        std::set<std::string> groups;
        for (RunWindows const* const run : testing)
            groups.insert(group_of(*run));
        std::vector<ScoredRun> pooled;
        for (std::string const& group : groups) {
            RunList train;
            std::ranges::copy_if(training, std::back_inserter(train),
                                 [&](RunWindows const* run) { return group_of(*run) != group; });
            if (!has_both(train))
                continue; // it was the only one of its class
            Model const model = train_model(train, runs.view, training_options(candidate, 1));
            std::vector<ScoredRun> scored;
            for (RunWindows const* const run : testing)
                if (group_of(*run) == group)
                    scored.push_back(score_run(*run, model));
            track["unseen_" + what][candidate.name][group] = short_figures(figures_of(scored, 1));
            pooled.insert(pooled.end(), scored.begin(), scored.end());
        }
        if (pooled.empty())
            return;
        track["unseen_" + what + "_pooled"][candidate.name] = figures_of(pooled, 1);
    }

    /// Each test run once, by the model for what it holds, as `undercroft detect` does it.
    void all_runs()
    {
        std::vector<ScoredRun> all;
        for (auto const& [reads_only, scored] : main_)
            std::ranges::copy_if(scored, std::back_inserter(all), [&](ScoredRun const& run) {
                return reads_only != (run.run->has_writes && main_.contains(false));
            });
        if (all.empty())
            throw Error{fmt::format("nothing can be said: {}", result_.figures["tracks_left_out"].dump())};
        Json summary = figures_of(all, 1);
        summary["run_list"] = run_list(all);
        result_.figures["summary"]["all runs"] = std::move(summary);
    }

    /// At least 500 writes in 10 s, half of them over what was read, of entropy 0.5 or more.
    Json rule_figures()
    {
        std::vector<ScoredRun> scored;
        for (RunWindows const& run : runs_.for_rule().test) {
            ScoredRun one{.run = &run, .probabilities = {}, .threshold = 0.5, .tile_ns = options_.windows_ns.front()};
            for (std::size_t r = 0; r < run.matrix.rows(); ++r) {
                auto const row = run.matrix.row(r);
                one.probabilities.push_back(row[0] >= 50 && row[1] >= 0.5F && row[2] >= 0.5F ? 1 : 0);
            }
            scored.push_back(std::move(one));
        }
        return figures_of(scored, 1);
    }

    EvaluationOptions const& options_;
    std::function<void(std::string const&)> const& progress_;
    EvaluationRuns runs_;
    std::map<bool, std::vector<ScoredRun>> main_; ///< by the main model of each track; key: of reads only
    Evaluation result_;
};

} // namespace

Evaluation evaluate(EvaluationOptions const& options, std::function<void(std::string const&)> const& progress)
{
    return Evaluator{options, progress}.run();
}

} // namespace undercroft::analysis
