// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/training.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::size_t folds = 6;
constexpr std::array<std::uint64_t, 2> beat_lbas{2508800, 2508864};
constexpr std::uint64_t fewest_beats = 100;

constexpr std::array<std::string_view, 28> known_ransomware{
    "teslacrypt", "wannacry",     "cerber",     "darkside",    "gandcrab",  "ryuk",  "sodinokibi",
    "conti",      "lockbit",      "revil",      "ransomware",  "hive",      "babuk", "blackcat",
    "locky",      "petya",        "notpetya",   "badrabbit",   "jigsaw",    "maze",  "clop",
    "phobos",     "cryptolocker", "cryptowall", "blackmatter", "netwalker", "akira", "avaddon"};

/// What every encryptor that keeps its files' names must do, whatever the machine: these carry the anchored model.
constexpr std::array<std::string_view, 2> write_anchors{"overwrite_at_rest", "at_rest_in_runs_peak"};
/// Reading many small things one by one, and many of them in a short time.
constexpr std::array<std::string_view, 2> read_anchors{"read_single_runs", "read_single_peak"};
constexpr double write_limit = 2.0;
constexpr double read_limit = 1.0;

std::string lower(std::string text)
{
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

/// What may follow a program's name: "4", "_v2", " (REvil)", but no further letters of a word.
bool is_version(std::string_view rest)
{
    if (rest.size() > 1 && rest[0] == 'v')
        rest.remove_prefix(1);
    return rest.empty() || std::isalpha(static_cast<unsigned char>(rest[0])) == 0;
}

/// An attack's first writes wait in the operating system's cache: windows that end so soon teach nothing.
constexpr std::int64_t unseen_ns = 2 * second_ns;

/// Rows to train on: every 5 s, and the first seconds, so that an early alert is learnt too; of a run whose attack is
/// known to the second, all.
bool is_training_row(RunWindows const& run, std::size_t row)
{
    std::int64_t const end_ns = run.ends_ns[row];
    if (!run.labelled)
        return end_ns % (5 * second_ns) == 0 || end_ns <= 3 * second_ns;
    bool const unseen = run.ransomware && end_ns > run.attack_begin_ns && end_ns <= run.attack_begin_ns + unseen_ns;
    return run.truth(row).has_value() && !unseen;
}

/// Every run of a program the same, every program of a class the same, every class the same; on average 1. What a
/// ransomware run holds before its attack is a benign program of its own, "before the attack".
TrainingData weighted(std::vector<RunWindows const*> const& runs,
                      std::function<float(RunWindows const&, std::size_t)> const& label_of)
{
    using Group = std::pair<float, std::string>;
    auto const group_of = [&](RunWindows const& run, std::size_t row) {
        bool const before = run.ransomware && run.truth(row) == false;
        return Group{label_of(run, row), before ? "before the attack" : run.place.program};
    };
    TrainingData data;
    std::map<float, std::set<std::string>> programs;
    std::map<Group, std::set<RunWindows const*>> runs_of;
    std::map<std::pair<Group, RunWindows const*>, std::size_t> rows_of;
    for (RunWindows const* const run : runs)
        for (std::size_t r = 0; r < run->ends_ns.size(); ++r)
            if (is_training_row(*run, r)) {
                Group const group = group_of(*run, r);
                programs[group.first].insert(group.second);
                runs_of[group].insert(run);
                ++rows_of[{group, run}];
            }
    for (RunWindows const* const run : runs) {
        data.matrix.columns = run->matrix.columns;
        for (std::size_t r = 0; r < run->ends_ns.size(); ++r)
            if (is_training_row(*run, r)) {
                Group const group = group_of(*run, r);
                data.matrix.append(run->matrix.row(r));
                data.labels.push_back(group.first);
                double const share =
                    static_cast<double>(rows_of[{group, run}]) * static_cast<double>(runs_of[group].size()) *
                    static_cast<double>(programs[group.first].size()) * static_cast<double>(programs.size());
                data.weights.push_back(static_cast<float>(1.0 / share));
            }
    }
    for (float& weight : data.weights)
        weight *= static_cast<float>(data.labels.size());
    return data;
}

float label_of(RunWindows const& run, std::size_t row)
{
    return run.truth(row).value_or(false) ? 1.0F : 0.0F;
}

std::size_t longest_window(View const& view)
{
    return static_cast<std::size_t>(std::ranges::max_element(view.windows_ns) - view.windows_ns.begin());
}

std::vector<std::size_t> anchors_of(View const& view)
{
    std::vector<std::size_t> result;
    std::size_t const longest = longest_window(view);
    auto const take = [&](auto const& names) {
        for (std::size_t i = 0; i < view.columns.size(); ++i)
            if (view.columns[i].window == longest &&
                std::ranges::find(names, view.columns[i].feature->name) != names.end())
                result.push_back(i);
    };
    if (view.reads_only)
        take(read_anchors);
    else
        take(write_anchors);
    if (result.empty())
        throw Error{"an anchored model needs its anchor columns among the features"};
    return result;
}

Matrix only(Matrix const& matrix, std::vector<std::size_t> const& columns)
{
    Matrix result{.columns = columns.size(), .values = {}};
    for (std::size_t r = 0; r < matrix.rows(); ++r)
        for (std::size_t const column : columns)
            result.values.push_back(matrix.row(r)[column]);
    return result;
}

Judge train_judge(std::vector<RunWindows const*> const& runs, View const& view, TrainingOptions const& options)
{
    TrainingData const data = weighted(runs, label_of);
    Judge judge;
    if (options.kind == JudgeKind::logistic || options.kind == JudgeKind::anchored) {
        for (std::size_t i = 0; i < view.columns.size() && options.kind == JudgeKind::logistic; ++i)
            judge.logistic_columns.push_back(i);
        if (options.kind == JudgeKind::anchored)
            judge.logistic_columns = anchors_of(view);
        TrainingData part;
        part.matrix = only(data.matrix, judge.logistic_columns);
        part.labels = data.labels;
        part.weights = data.weights;
        judge.logistic = Logistic::train(part, options.kind == JudgeKind::anchored ? 0.1 : 30);
    }
    if (options.kind == JudgeKind::forest)
        judge.trees = Booster::train(data, {.rounds = 1,
                                            .trees_per_round = 150,
                                            .depth = 6,
                                            .learning_rate = 1,
                                            .row_share = 0.63,
                                            .column_share = 0.25,
                                            .smallest_child = 1,
                                            .l2 = 1,
                                            .seed = options.seed});
    else if (options.kind != JudgeKind::logistic)
        judge.trees = Booster::train(data, {.seed = options.seed});
    if (options.kind == JudgeKind::anchored)
        judge.limit = view.reads_only ? read_limit : write_limit;
    return judge;
}

struct Scored {
    double margin{};
    bool ransomware{};
    double weight{}; ///< a run's windows weigh 1 together
};

/// The highest margin that so many windows in a row of a run reach.
struct ScoredStretch {
    double margin{};
    bool ransomware{};
};

/// What judges say of runs that they have not seen, nor, where a class has several, their programs.
struct Unseen {
    std::vector<Scored> windows;
    std::vector<ScoredStretch> runs;
};

/// For each run the fold in which it is held out: a program's runs together, unless it is the only one of its class.
std::map<RunWindows const*, std::size_t> folds_of(std::vector<RunWindows const*> runs, std::uint32_t seed)
{
    std::mt19937 random{seed};
    std::ranges::shuffle(runs, random);
    std::map<RunWindows const*, std::size_t> result;
    std::size_t next = 0;
    for (bool const ransomware : {false, true}) {
        std::vector<std::string> programs;
        for (RunWindows const* const run : runs)
            if (run->ransomware == ransomware && std::ranges::find(programs, run->place.program) == programs.end())
                programs.push_back(run->place.program);
        for (RunWindows const* const run : runs)
            if (run->ransomware == ransomware) {
                auto const program = std::ranges::find(programs, run->place.program) - programs.begin();
                result[run] = (programs.size() > 1 ? static_cast<std::size_t>(program) : next++) % folds;
            }
    }
    return result;
}

double highest_stretch(RunWindows const& run, std::vector<double> const& margins, bool attack, std::uint32_t length)
{
    double highest = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i + length <= margins.size(); ++i) {
        double lowest = std::numeric_limits<double>::infinity();
        for (std::size_t k = i; k < i + length; ++k)
            lowest = std::min(lowest, run.truth(k) == attack ? margins[k] : -std::numeric_limits<double>::infinity());
        highest = std::max(highest, lowest);
    }
    return highest;
}

void add_unseen(RunWindows const& run, std::vector<double> const& margins, View const& view, std::uint32_t consecutive,
                Unseen& unseen)
{
    for (std::size_t i = 0; i < margins.size(); ++i)
        if (run.labelled ? is_training_row(run, i) : run.ends_ns[i] % view.windows_ns.front() == 0)
            unseen.windows.push_back(
                {margins[i], run.truth(i).value_or(false), 1.0 / static_cast<double>(margins.size())});
    for (bool const attack : {false, true})
        if (double const margin = highest_stretch(run, margins, attack, consecutive); std::isfinite(margin))
            unseen.runs.push_back({margin, attack});
}

/// Empty when a class has fewer than two runs.
Unseen judge_unseen(std::vector<RunWindows const*> const& runs, View const& view, TrainingOptions const& options,
                    std::uint32_t consecutive)
{
    auto const positives =
        static_cast<std::size_t>(std::ranges::count_if(runs, [](RunWindows const* run) { return run->ransomware; }));
    Unseen unseen;
    if (positives < 2 || runs.size() - positives < 2)
        return unseen;
    std::map<RunWindows const*, std::size_t> const fold_of = folds_of(runs, options.seed);
    for (std::size_t fold = 0; fold < folds; ++fold) {
        std::vector<RunWindows const*> training;
        std::vector<RunWindows const*> held;
        for (RunWindows const* const run : runs)
            (fold_of.at(run) == fold ? held : training).push_back(run);
        if (held.empty())
            continue;
        Judge const judge = train_judge(training, view, options);
        for (RunWindows const* const run : held)
            add_unseen(*run, judge.margins(run->matrix), view, consecutive, unseen);
    }
    return unseen;
}

/// Platt: logistic regression of the class on the margin.
void calibrate(Judge& judge, std::vector<Scored> const& scored)
{
    TrainingData data;
    data.matrix.columns = 1;
    double positives = 0;
    double negatives = 0;
    for (Scored const& value : scored)
        (value.ransomware ? positives : negatives) += value.weight;
    for (Scored const& value : scored) {
        data.matrix.values.push_back(static_cast<float>(value.margin));
        data.labels.push_back(value.ransomware ? 1.0F : 0.0F);
        data.weights.push_back(static_cast<float>(10 * value.weight / (value.ransomware ? positives : negatives)));
    }
    Logistic const fit = Logistic::train(data, 0.1);
    Matrix const probe{.columns = 1, .values = {0.0F, 1.0F}};
    std::vector<float> const at = fit.margins(probe);
    double const slope = static_cast<double>(at[1]) - static_cast<double>(at[0]);
    if (slope > 0.05 && slope < 100) { // otherwise the margins told nothing: leave them as they are
        judge.slope = slope;
        judge.offset = static_cast<double>(at[0]);
    }
}

/// So high that the budget of benign windows is above it, but not so high that more than one attack in twenty would be
/// lost, and never below 0.5: where attacks cannot be told from nothing at all, they are missed, not alarmed about.
double choose_threshold(Judge const& judge, Unseen const& unseen, double budget)
{
    std::vector<double> benign;
    std::vector<double> attacks;
    for (Scored const& window : unseen.windows)
        if (!window.ransomware)
            benign.push_back(window.margin);
    for (ScoredStretch const& run : unseen.runs)
        if (run.ransomware)
            attacks.push_back(run.margin);
    if (benign.empty() || attacks.empty())
        return 0.5;
    std::ranges::sort(benign, std::greater<>{});
    std::ranges::sort(attacks);
    double const above_benign = benign[static_cast<std::size_t>(budget * static_cast<double>(benign.size()))];
    double const margin = std::min(above_benign, attacks[attacks.size() / 20]);
    return std::max(0.5, 1 / (1 + std::exp(-(judge.slope * margin + judge.offset))));
}

} // namespace

Labels::Labels(std::vector<std::string> ransomware)
{
    if (ransomware.empty())
        ransomware.assign(known_ransomware.begin(), known_ransomware.end());
    for (std::string const& name : ransomware)
        ransomware_.push_back(lower(name));
}

bool Labels::is_ransomware(std::string const& program) const
{
    std::string const name = lower(program);
    return std::ranges::any_of(ransomware_, [&](std::string const& known) {
        return name.starts_with(known) && is_version(std::string_view{name}.substr(known.size()));
    });
}

View make_view(FeatureSet set, bool reads_only, std::vector<std::int64_t> windows_ns)
{
    View view;
    view.windows_ns = std::move(windows_ns);
    view.reads_only = reads_only;
    for (std::size_t window = 0; window < view.windows_ns.size(); ++window)
        for (Feature const* const feature : features_of(set))
            if (!reads_only || feature->needs == Needs::reads)
                view.columns.push_back({feature, window});
    // Peaks say something about the machine too, but they outlast the attack.
    for (char const* const name : {"read_single_peak", "overwrite_peak", "at_rest_in_runs_peak"})
        if (Feature const* const feature = find_feature(name);
            set != FeatureSet::ransap && set != FeatureSet::ransap_reads && view.windows_ns.size() > 1 &&
            (!reads_only || feature->needs == Needs::reads))
            view.columns.push_back({feature, longest_window(view)});
    return view;
}

RunWindows windows_of(TraceRun const& run, Labels const& labels, View const& view)
{
    RunWindows result;
    result.place = run.place;
    result.ransomware = run.truth ? run.truth->ransomware : labels.is_ransomware(run.place.program);
    result.labelled = run.truth.has_value();
    result.has_writes = run.has_writes;
    result.matrix.columns = view.columns.size();
    std::uint64_t beats = 0;
    std::uint64_t written = 0;
    bool started = false;
    FeatureExtractor extractor{view.extractor_options(), [&](WindowRow const& row) {
                                   result.ends_ns.push_back(row.end_ns - result.start_ns);
                                   result.written_bytes.push_back(written);
                                   for (FeatureColumn const& column : view.columns)
                                       result.matrix.values.push_back(column.value(row));
                               }};
    for (Access const& access : run.accesses) {
        if (!view.takes(access.kind)) {
            written += access.kind == TraceKind::write ? access.bytes : 0;
            continue;
        }
        result.start_ns = started ? result.start_ns : access.time_ns;
        started = true;
        beats += access.kind == TraceKind::read && std::ranges::find(beat_lbas, access.address) != beat_lbas.end();
        extractor.push(access);
        written += access.kind == TraceKind::write ? access.bytes : 0;
    }
    extractor.finish();
    if (run.truth && run.truth->ransomware) {
        result.attack_begin_ns = run.truth->begin_ns - result.start_ns;
        result.attack_end_ns = run.truth->end_ns - result.start_ns;
        result.corpus_files = run.truth->corpus_files;
        for (std::int64_t const time_ns : run.truth->touched_ns)
            result.touched_ns.push_back(time_ns - result.start_ns);
    }
    result.has_leak = beats >= fewest_beats;
    return result;
}

Model train_model(std::vector<RunWindows const*> const& runs, View const& view, TrainingOptions const& options)
{
    auto const positives = std::ranges::count_if(runs, [](RunWindows const* run) { return run->ransomware; });
    if (positives == 0 || positives == static_cast<std::ptrdiff_t>(runs.size()))
        throw Error{
            fmt::format("training needs runs of both classes, but {} of {} are ransomware", positives, runs.size())};
    Model model;
    model.track = view.reads_only ? "reads" : "reads+writes";
    model.kind = options.kind;
    model.view = view;
    model.false_positive_budget = options.false_positive_budget;
    model.trained_on = fmt::format("{} runs, {} of them ransomware", runs.size(), positives);
    model.judge = train_judge(runs, view, options);
    if (Unseen const unseen = judge_unseen(runs, view, options, model.consecutive); !unseen.windows.empty()) {
        calibrate(model.judge, unseen.windows);
        model.threshold = choose_threshold(model.judge, unseen, options.false_positive_budget);
    }
    return model;
}

Booster train_families(std::vector<RunWindows const*> const& runs, std::vector<std::string> const& programs,
                       std::uint32_t seed)
{
    TrainingData const data = weighted(runs, [&](RunWindows const& run, std::size_t) {
        return static_cast<float>(std::ranges::find(programs, run.place.program) - programs.begin());
    });
    return Booster::train(
        data, {.rounds = 60, .smallest_child = 1, .l2 = 1, .classes = static_cast<int>(programs.size()), .seed = seed});
}

} // namespace undercroft::analysis
