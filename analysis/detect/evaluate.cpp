// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/evaluate.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;
using Runs = std::vector<RunWindows>;
using RunList = std::vector<RunWindows const*>;

/// One way to judge, to be compared.
struct Candidate {
    std::string name;
    FeatureSet features;
    bool with_context;
    JudgeKind kind;
};

/// The runs of both folders as one view sees them.
struct ViewedRuns {
    View view;
    Runs train;
    Runs test;
};

RunList list_of(Runs const& runs, std::function<bool(RunWindows const&)> const& wanted)
{
    RunList result;
    for (RunWindows const& run : runs)
        if (wanted(run) && !run.ends_ns.empty())
            result.push_back(&run);
    return result;
}

class Evaluator {
public:
    Evaluator(EvaluationOptions const& options, std::function<void(std::string const&)> const& progress)
        : options_{options}, progress_{progress}, labels_{options.ransomware}
    {
    }

    Evaluation run()
    {
        load();
        for (bool const reads_only : {false, true}) {
            Json const track = track_figures(reads_only);
            if (track.is_null())
                continue;
            result_.figures["tracks"][reads_only ? "reads" : "reads+writes"] = track;
            result_.figures["summary"][reads_only ? "reads" : "reads+writes"] = summary_of(track);
        }
        result_.figures["families"] = families();
        return std::move(result_);
    }

private:
    /// The main model's figures in one place.
    static Json summary_of(Json const& track)
    {
        Json const& main = track["models"][0];
        Json const& figures = main["figures"];
        Json summary{{"model", main["name"]}, {"runs", figures["runs"]}, {"alerts", figures["alerts"]}};
        for (char const* const name : {"f1", "precision", "recall", "fpr", "roc_auc", "pr_auc", "threshold"})
            summary[name] = figures[name];
        if (track.contains("unseen_pooled") && track["unseen_pooled"].contains(main["name"]))
            summary["unseen"] = track["unseen_pooled"][main["name"]];
        return summary;
    }

    [[nodiscard]] std::vector<Candidate> candidates(bool reads_only) const
    {
        if (reads_only)
            return {{"anchored, reads", FeatureSet::reads, true, JudgeKind::anchored},
                    {"boosted trees, reads", FeatureSet::reads, true, JudgeKind::boosted},
                    {"random forest, reads", FeatureSet::reads, true, JudgeKind::forest},
                    {"logistic regression, reads", FeatureSet::reads, true, JudgeKind::logistic},
                    {"boosted trees, RanSAP's two", FeatureSet::ransap_reads, false, JudgeKind::boosted}};
        return {{"anchored, rich", FeatureSet::rich, true, JudgeKind::anchored},
                {"boosted trees, rich", FeatureSet::rich, true, JudgeKind::boosted},
                {"random forest, rich", FeatureSet::rich, true, JudgeKind::forest},
                {"logistic regression, rich", FeatureSet::rich, true, JudgeKind::logistic},
                {"boosted trees, rich, no context", FeatureSet::rich, false, JudgeKind::boosted},
                {"anchored, payload-free", FeatureSet::payload_free, true, JudgeKind::anchored},
                {"boosted trees, RanSAP's five", FeatureSet::ransap, false, JudgeKind::boosted}};
    }

    [[nodiscard]] View view_of(Candidate const& candidate, bool reads_only) const
    {
        std::vector<std::int64_t> windows{options_.windows_ns.front()};
        if (candidate.with_context)
            windows = options_.windows_ns;
        View view = make_view(candidate.features, reads_only, std::move(windows));
        view.first_reads_only = !options_.keep_leak;
        return view;
    }

    ViewedRuns& viewed(Candidate const& candidate, bool reads_only)
    {
        return views_[fmt::format("{} {} {}", to_string(candidate.features), candidate.with_context, reads_only)];
    }

    /// Each file is read once, for all views.
    void load()
    {
        std::vector<RunPlace> train = find_runs(options_.train);
        std::vector<RunPlace> test = find_runs(options_.test);
        bool const same = std::filesystem::equivalent(options_.train, options_.test);
        split_runs(train, test, same);
        for (bool const reads_only : {false, true}) {
            for (Candidate const& candidate : candidates(reads_only))
                viewed(candidate, reads_only).view = view_of(candidate, reads_only);
        }
        View rule;
        rule.windows_ns = {options_.windows_ns.front()};
        for (char const* const name : {"write_rate", "overwrite_after_read", "write_entropy"})
            rule.columns.push_back({find_feature(name), 0});
        views_["rule"].view = rule;
        load_runs(train, &ViewedRuns::train);
        load_runs(test, &ViewedRuns::test);
        result_.figures["split"] = {{"train", names(train)}, {"test", names(test)}, {"one_folder", same}};
        result_.figures["window_s"] = static_cast<double>(options_.windows_ns.front()) * 1e-9;
        result_.figures["context_s"] = static_cast<double>(std::ranges::max(options_.windows_ns)) * 1e-9;
        result_.figures["leak_filter"] = !options_.keep_leak;
        result_.figures["taken_for_ransomware"] = ransomware_;
        result_.figures["taken_for_benign"] = benign_;
        result_.figures["complaints"] = complaints();
    }

    static Json names(std::vector<RunPlace> const& places)
    {
        Json result = Json::array();
        for (RunPlace const& place : places)
            result.push_back(place.path);
        return result;
    }

    [[nodiscard]] Json complaints() const
    {
        Json result = Json::object();
        for (std::size_t i = 0; i < complaint_kinds; ++i)
            if (auto const complaint = static_cast<Complaint>(i); complaints_[complaint] != 0)
                result[std::string{to_string(complaint)}] = complaints_[complaint];
        return result;
    }

    /// A run that cannot be read is named and left out.
    void load_one(RunPlace const& place, Runs ViewedRuns::* where)
    {
        try {
            TraceRun const run = load_run(place, options_.scale, {.memory = false});
            complaints_ += run.complaints;
            bool const ransomware = run.truth ? run.truth->ransomware : labels_.is_ransomware(place.program);
            (ransomware ? ransomware_ : benign_).insert(place.program);
            for (auto& [key, view] : views_)
                if (view.view.reads_only ? run.has_reads : run.has_writes)
                    (view.*where).push_back(windows_of(run, labels_, view.view));
        } catch (Error const& error) {
            result_.figures["left_out"].push_back({{"run", place.path}, {"why", error.what()}});
            progress_(fmt::format("left out: {}", error.what()));
        }
    }

    void load_runs(std::vector<RunPlace> const& places, Runs ViewedRuns::* where)
    {
        for (std::size_t i = 0; i < places.size(); ++i) {
            load_one(places[i], where);
            if (i % 20 == 19 || i + 1 == places.size())
                progress_(fmt::format("{} of {} runs read", i + 1, places.size()));
        }
    }

    Json track_figures(bool reads_only)
    {
        Json track;
        bool primary = true;
        for (Candidate const& candidate : candidates(reads_only)) {
            ViewedRuns const& runs = viewed(candidate, reads_only);
            RunList const train = list_of(runs.train, [](auto const&) { return true; });
            if (runs.test.empty() || !has_both(train))
                return {};
            Json all_seeds = Json::array();
            for (std::uint32_t seed = 1; seed <= (primary ? options_.seeds : 1); ++seed) {
                Model const model = train_model(train, runs.view, training_options(candidate, seed));
                std::vector<ScoredRun> const scored = score(model, runs.test);
                Json const figures = figures_of(scored, seed);
                if (seed == 1) {
                    track["models"].push_back({{"name", candidate.name}, {"figures", figures}});
                    add_curve(candidate.name, scored);
                }
                all_seeds.push_back({{"f1", figures["f1"]}, {"roc_auc", figures["roc_auc"]}, {"fpr", figures["fpr"]}});
            }
            if (primary)
                track["seeds"] = all_seeds;
            if (candidate.with_context && candidate.features != FeatureSet::payload_free)
                unseen(candidate, runs, track);
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

    static bool has_both(RunList const& runs)
    {
        bool const some = std::ranges::any_of(runs, [](RunWindows const* run) { return run->ransomware; });
        return some && !std::ranges::all_of(runs, [](RunWindows const* run) { return run->ransomware; });
    }

    static std::vector<ScoredRun> score(Model const& model, Runs const& runs)
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

    /// Each program, judged by a model whose training runs lack it. With one folder for both, all runs take part.
    void unseen(Candidate const& candidate, ViewedRuns const& runs, Json& track)
    {
        RunList training = list_of(runs.train, [](auto const&) { return true; });
        RunList testing = list_of(runs.test, [](auto const&) { return true; });
        if (result_.figures["split"]["one_folder"] == true) {
            training.insert(training.end(), testing.begin(), testing.end());
            testing = training;
        }
        std::set<std::string> programs;
        for (RunWindows const* const run : testing)
            programs.insert(run->place.program);
        std::vector<ScoredRun> pooled;
        for (std::string const& program : programs) {
            RunList train;
            std::ranges::copy_if(training, std::back_inserter(train),
                                 [&](RunWindows const* run) { return run->place.program != program; });
            if (!has_both(train))
                continue; // it was the only one of its class
            Model const model = train_model(train, runs.view, training_options(candidate, 1));
            std::vector<ScoredRun> scored;
            for (RunWindows const* const run : testing)
                if (run->place.program == program)
                    scored.push_back(score_run(*run, model));
            track["unseen_programs"][candidate.name][program] = figures_of(scored, 1)["programs"][program];
            pooled.insert(pooled.end(), scored.begin(), scored.end());
        }
        if (!pooled.empty())
            track["unseen_pooled"][candidate.name] = figures_of(pooled, 1);
    }

    /// At least 500 writes in 10 s, half of them over what was read, of entropy 0.5 or more.
    Json rule_figures()
    {
        std::vector<ScoredRun> scored;
        for (RunWindows const& run : views_["rule"].test) {
            ScoredRun one{.run = &run, .probabilities = {}, .threshold = 0.5, .tile_ns = options_.windows_ns.front()};
            for (std::size_t r = 0; r < run.matrix.rows(); ++r) {
                auto const row = run.matrix.row(r);
                one.probabilities.push_back(row[0] >= 50 && row[1] >= 0.5F && row[2] >= 0.5F ? 1 : 0);
            }
            scored.push_back(std::move(one));
        }
        return figures_of(scored, 1);
    }

    /// Which program a run is, from its reads: the mean of its windows' probabilities decides.
    Json families()
    {
        ViewedRuns const& runs = viewed(candidates(true).front(), true);
        std::set<std::string> known;
        for (RunWindows const& run : runs.train)
            known.insert(run.place.program);
        std::vector<std::string> const programs{known.begin(), known.end()};
        RunList const train = list_of(runs.train, [](auto const&) { return true; });
        RunList const test =
            list_of(runs.test, [&](RunWindows const& run) { return known.contains(run.place.program); });
        if (programs.size() < 3 || test.empty())
            return {};
        Booster const booster = train_families(train, programs, 1);
        std::map<std::string, Confusion> by_program;
        Json errors = Json::array();
        for (RunWindows const* const run : test) {
            std::vector<float> const probabilities = booster.probabilities(run->matrix);
            std::vector<double> sums(programs.size());
            for (std::size_t i = 0; i < probabilities.size(); ++i)
                sums[i % programs.size()] += static_cast<double>(probabilities[i]);
            std::string const& said = programs[static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin())];
            for (std::string const& program : programs)
                by_program[program].add(run->place.program == program, said == program);
            if (said != run->place.program)
                errors.push_back({{"run", run->place.path}, {"said", said}});
        }
        double sum = 0;
        double count = 0;
        Json per_program = Json::object();
        for (auto const& [program, confusion] : by_program) {
            if (confusion.true_positives + confusion.false_negatives == 0)
                continue;
            per_program[program] = *confusion.f1();
            sum += *confusion.f1();
            count += 1;
        }
        return {{"macro_f1", sum / count}, {"programs", per_program}, {"runs", test.size()}, {"errors", errors}};
    }

    EvaluationOptions const& options_;
    std::function<void(std::string const&)> const& progress_;
    Labels labels_;
    std::map<std::string, ViewedRuns> views_;
    std::set<std::string> ransomware_;
    std::set<std::string> benign_;
    Complaints complaints_;
    Evaluation result_;
};

} // namespace

void split_runs(std::vector<RunPlace>& train, std::vector<RunPlace>& test, bool same_folder)
{
    if (same_folder) {
        std::map<std::string, std::vector<RunPlace>> groups;
        for (RunPlace const& place : train)
            groups[place.environment + "/" + place.program + "-" + place.variant].push_back(place);
        if (std::ranges::all_of(groups, [](auto const& group) { return group.second.size() == 1; })) {
            groups.clear(); // every program once on each machine: the machines share it out
            for (RunPlace const& place : train)
                groups[place.program].push_back(place);
        }
        train.clear();
        test.clear();
        for (auto const& [name, places] : groups)
            for (std::size_t i = 0; i < places.size(); ++i)
                (i < places.size() / 2 ? train : test).push_back(places[i]);
        if (train.empty()) { // every program once: every other one trains
            std::vector<RunPlace> const all = std::move(test);
            test.clear();
            for (std::size_t i = 0; i < all.size(); ++i)
                (i % 2 == 0 ? train : test).push_back(all[i]);
        }
        return;
    }
    std::set<std::string> seen;
    auto const name_of = [](RunPlace const& place) {
        return place.environment + "/" + place.program + "/" + place.folder.filename().string();
    };
    for (RunPlace const& place : train)
        seen.insert(name_of(place));
    std::erase_if(test, [&](RunPlace const& place) { return seen.contains(name_of(place)); });
    if (test.empty())
        throw Error{"every run of the test folder is in the training folder too"};
}

Evaluation evaluate(EvaluationOptions const& options, std::function<void(std::string const&)> const& progress)
{
    return Evaluator{options, progress}.run();
}

} // namespace undercroft::analysis
