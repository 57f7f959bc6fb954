// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft train, evaluate.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/command.hpp"
#include "analysis/detect/evaluate.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

void say(std::string const& line)
{
    fmt::print(stderr, "{}\n", line);
}

/// What train and evaluate share.
struct TrainingInput {
    std::vector<std::string> ransomware;
    bool keep_leak = false;
    bool nanoseconds = false;
    std::string kind = "anchored";
    double budget = 0.01;
    double window_s = 10;
    double context_s = 300;
    double quick_s = 3;

    void add_to(CLI::App& command)
    {
        command
            .add_option("--ransomware", ransomware,
                        "Programs (folder names) that are ransomware, instead of RanSAP's and RanSMAP's")
            ->delimiter(',')
            ->allow_extra_args(false);
        command.add_flag("--keep-leak", keep_leak,
                         "Do not drop repeated reads; some published ransomware runs carry a beat of them");
        command.add_flag("--nanoseconds", nanoseconds, "Sub-seconds are nanoseconds, not n of 2^30");
        command.add_option("--kind", kind, "Of the model: anchored, boosted, forest or logistic")
            ->capture_default_str();
        command.add_option("--false-positives", budget, "Share of benign windows that may be alarmed about")
            ->check(CLI::Range(0.0, 0.5))
            ->capture_default_str();
        command.add_option("--window", window_s, "Seconds that a verdict looks at")
            ->check(CLI::Range(1.0, 3600.0))
            ->capture_default_str();
        command.add_option("--quick", quick_s, "Seconds of a shorter window beside it; 0: none")
            ->check(CLI::Range(0.0, 3600.0))
            ->capture_default_str();
        command.add_option("--context", context_s, "Seconds before its end that a verdict takes into account")
            ->check(CLI::Range(1.0, 36000.0))
            ->capture_default_str();
    }
    [[nodiscard]] std::vector<std::int64_t> windows_ns() const
    {
        std::vector<std::int64_t> windows{ns(window_s), ns(context_s)};
        if (quick_s > 0)
            windows.push_back(ns(quick_s));
        return windows;
    }
    [[nodiscard]] SubSecondScale scale() const
    {
        return nanoseconds ? SubSecondScale::nanoseconds : SubSecondScale::two_to_30;
    }
    /// Whole seconds, because the step is one.
    [[nodiscard]] static std::int64_t ns(double seconds) { return static_cast<std::int64_t>(seconds) * 1'000'000'000; }
};

struct EvaluateCommand {
    TrainingInput input;
    std::string train;
    std::string test;
    std::string json;
    std::string summary;
    std::string report;
    std::string curves;
    std::uint32_t seeds = 3;
    bool main_only = false;

    void add_to(CLI::App& command)
    {
        command.add_option("--train", train, "Folder of runs to train on, laid out as RanSAP's")->required();
        command.add_option("--test", test, "Folder of runs to test on; the same one is split by run")->required();
        command.add_option("--json", json, "File for all figures");
        command.add_option("--summary", summary, "File for the main models' figures alone");
        command.add_option("--report", report, "File for the report (Markdown)");
        command.add_option("--curves", curves, "File for the curves (PNG)");
        command.add_option("--seeds", seeds, "How many times the main models are trained")
            ->check(CLI::Range(1, 50))
            ->capture_default_str();
        command.add_flag("--main-only", main_only, "Leave out the other models, which are there to compare");
        input.add_to(command);
    }

    /// Without what each of the other candidates and folds came to.
    static nlohmann::json summary_of(nlohmann::json figures)
    {
        figures.erase("tracks");
        return figures;
    }

    void run() const
    {
        EvaluationOptions options;
        options.train = train;
        options.test = test;
        options.ransomware = input.ransomware;
        options.scale = input.scale();
        options.keep_leak = input.keep_leak;
        options.kind = judge_kind_of(input.kind);
        options.main_only = main_only;
        options.false_positive_budget = input.budget;
        options.windows_ns = input.windows_ns();
        options.seeds = seeds;
        Evaluation const evaluation = evaluate(options, say);
        std::string const text = report_of(evaluation.figures);
        if (!json.empty())
            write_file(json, evaluation.figures.dump(2) + "\n");
        if (!summary.empty())
            write_file(summary, summary_of(evaluation.figures).dump(1) + "\n");
        if (!report.empty())
            write_file(report, text);
        if (!curves.empty())
            draw_curves(evaluation.curves, curves);
        fmt::print("{}", text);
    }
};

struct TrainCommand {
    TrainingInput input;
    std::string folder;
    std::string out;
    std::string origin;

    void add_to(CLI::App& command)
    {
        command.add_option("DIR", folder, "Folder of runs, laid out as RanSAP's")->required();
        command.add_option("--out", out, "File for the model")->required();
        command.add_option("--origin", origin, "Kept in the file: whose data this is, and how to make it again");
        input.add_to(command);
    }

    void run() const
    {
        ModelFile file;
        file.origin = origin;
        Labels const labels{input.ransomware};
        std::vector<RunPlace> const places = find_runs(folder);
        for (bool const reads_only : {false, true}) {
            View view = make_view(reads_only ? FeatureSet::reads : FeatureSet::rich, reads_only, input.windows_ns());
            view.first_reads_only = !input.keep_leak;
            std::vector<RunWindows> runs;
            for (RunPlace const& place : places)
                if (TraceRun const run = load_run(place, input.scale(), {.memory = false});
                    reads_only ? run.has_reads : run.has_writes)
                    runs.push_back(windows_of(run, labels, view));
            std::vector<RunWindows const*> pointers;
            for (RunWindows const& run : runs)
                pointers.push_back(&run);
            auto const attacks = std::ranges::count_if(runs, &RunWindows::ransomware);
            if (!reads_only && (attacks == 0 || attacks == static_cast<std::ptrdiff_t>(runs.size()))) {
                say(fmt::format(
                    "note: of {} runs with writes {} are ransomware: there is no model for traces with writes",
                    runs.size(), attacks));
                continue;
            }
            file.models.push_back(train_model(
                pointers, view, {.kind = judge_kind_of(input.kind), .false_positive_budget = input.budget}));
            fmt::print("{}: {}, alarms from {:.3f} on\n", file.models.back().track, file.models.back().trained_on,
                       file.models.back().threshold);
        }
        file.save(out);
    }
};

template <typename Command>
void add_command(CLI::App& root, int& exit_code, char const* name, char const* about)
{
    CLI::App* const command = root.add_subcommand(name, about);
    auto const self = std::make_shared<Command>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace

void register_training(CLI::App& root, int& exit_code)
{
    add_command<TrainCommand>(root, exit_code, "train", "Learn to tell ransomware from other programs");
    add_command<EvaluateCommand>(root, exit_code, "evaluate", "Train on some runs, test on others, report honestly");
}

} // namespace undercroft::analysis
