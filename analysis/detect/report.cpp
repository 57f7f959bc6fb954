// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The evaluation's figures as Markdown and its curves as a picture.
#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/detect/evaluate.hpp"
#include "analysis/heatmap/canvas.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

std::string figure(Json const& value)
{
    return value.is_number() ? fmt::format("{:.3f}", value.get<double>()) : "-";
}

std::string with_interval(Json const& figures, char const* name)
{
    Json const intervals = figures.value("interval_95", Json::object());
    if (!intervals.contains(name) || !intervals[name].is_array())
        return figure(figures[name]);
    return fmt::format("{} [{}-{}]", figure(figures[name]), figure(intervals[name][0]), figure(intervals[name][1]));
}

std::string models_table(Json const& models)
{
    std::string text = "| model | F1 | precision | recall | FPR | ROC-AUC | PR-AUC | recall without leak | "
                       "runs missed | runs falsely alarmed |\n|---|---|---|---|---|---|---|---|---|---|\n";
    for (Json const& model : models) {
        Json const& f = model["figures"];
        Json const& runs = f["runs"];
        text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} of {} | {} of {} |\n",
                            model["name"].get<std::string>(), with_interval(f, "f1"), figure(f["precision"]),
                            with_interval(f, "recall"), with_interval(f, "fpr"), with_interval(f, "roc_auc"),
                            figure(f["pr_auc"]), figure(f["recall_without_leak"]), runs["missed"].get<int>(),
                            runs["ransomware"].get<int>(), runs["false_alarms"].get<int>(), runs["benign"].get<int>());
    }
    return text;
}

std::string groups_table(Json const& groups, char const* heading)
{
    std::string text = fmt::format("| {} | class | windows flagged | runs alarmed |\n|---|---|---|---|\n", heading);
    for (auto const& [name, group] : groups.items())
        text +=
            fmt::format("| {} | {} | {} of {} | {} of {} |\n", name,
                        group["ransomware"].get<bool>() ? "ransomware" : "benign", group["windows_alarmed"].get<int>(),
                        group["windows"].get<int>(), group["runs_alarmed"].get<int>(), group["runs"].get<int>());
    return text;
}

/// What training did not see, all together.
std::string pooled_table(char const* what, Json const& models)
{
    if (models.empty())
        return "";
    std::string text =
        fmt::format("\nEach {} judged by a model that has not seen it, all together:\n\n"
                    "| model | F1 | recall | FPR | ROC-AUC | runs missed | runs falsely alarmed | benign "
                    "runs above the threshold that keeps 95 % of the ransomware runs | first alert, s | "
                    "files lost |\n|---|---|---|---|---|---|---|---|---|---|\n",
                    what);
    for (auto const& [name, f] : models.items()) {
        Json const& runs = f["runs"];
        text += fmt::format("| {} | {} | {} | {} | {} | {} of {} | {} of {} | {} | {} | {} |\n", name,
                            with_interval(f, "f1"), with_interval(f, "recall"), with_interval(f, "fpr"),
                            with_interval(f, "roc_auc"), runs["missed"].get<int>(), runs["ransomware"].get<int>(),
                            runs["false_alarms"].get<int>(), runs["benign"].get<int>(),
                            figure(runs["benign_share_at_95_recall"]), figure(f["alerts"]["median_s_since_start"]),
                            figure(f["alerts"]["median_files_lost_share"]));
    }
    return text;
}

std::string unseen_programs(std::string const& model, Json const& programs)
{
    Json groups = Json::object();
    for (auto const& [name, figures] : programs.items())
        groups[name] = figures["programs"][name];
    return fmt::format("\nPrograms that training did not see, {}:\n\n{}", model,
                       groups_table(groups, "unseen program"));
}

std::string unseen_machines(std::string const& model, Json const& machines)
{
    std::string text =
        fmt::format("\nMachines that training did not see, {}:\n\n| unseen machine | F1 | recall | FPR | "
                    "runs missed | runs falsely alarmed |\n|---|---|---|---|---|---|\n",
                    model);
    for (auto const& [name, f] : machines.items())
        text += fmt::format("| {} | {} | {} | {} | {} of {} | {} of {} |\n", name, figure(f["f1"]), figure(f["recall"]),
                            figure(f["fpr"]), f["runs"]["missed"].get<int>(), f["runs"]["ransomware"].get<int>(),
                            f["runs"]["false_alarms"].get<int>(), f["runs"]["benign"].get<int>());
    return text;
}

std::string megabytes(Json const& bytes)
{
    return bytes.is_number() ? fmt::format("{:.1f} MB", bytes.get<double>() / 1e6) : "-";
}

std::string track_text(std::string const& name, Json const& track)
{
    std::string text = fmt::format("\n## {}\n\n{}", name, models_table(track["models"]));
    Json const& main = track["models"][0];
    Json const& alerts = main["figures"]["alerts"];
    text += fmt::format(
        "\n**{}**, alarm from probability {} on. Alerts at every second, two windows in a row: median "
        "{} s after the attack's begin (of published runs: the run's), {} written by then, {} of the files lost; "
        "{} runs missed, {} benign ones alarmed.\n\n",
        main["name"].get<std::string>(), figure(main["figures"]["threshold"]), figure(alerts["median_s_since_start"]),
        megabytes(alerts["median_bytes_written"]), figure(alerts["median_files_lost_share"]),
        alerts["missed"].get<int>(), alerts["false_alarms"].get<int>());
    for (std::size_t i = 0; i < track["seeds"].size(); ++i)
        text += fmt::format("Seed {}: F1 {}, ROC-AUC {}, FPR {}. ", i + 1, figure(track["seeds"][i]["f1"]),
                            figure(track["seeds"][i]["roc_auc"]), figure(track["seeds"][i]["fpr"]));
    text += "\n\n" + groups_table(main["figures"]["programs"], "program");
    text += "\n" + groups_table(main["figures"]["environments"], "machine");
    text += pooled_table("program", track.value("unseen_programs_pooled", Json::object()));
    for (auto const& [model, programs] : track.value("unseen_programs", Json::object()).items())
        text += unseen_programs(model, programs);
    text += pooled_table("machine", track.value("unseen_environments_pooled", Json::object()));
    for (auto const& [model, machines] : track.value("unseen_environments", Json::object()).items())
        text += unseen_machines(model, machines);
    return text;
}

std::string families_text(Json const& families)
{
    if (families.is_null())
        return "";
    std::string text = fmt::format(
        "\n## Which program a run is (reads only)\n\nMacro F1 {} over {} runs.\n\n| program | F1 |\n|---|---|\n",
        figure(families["macro_f1"]), families["runs"].get<int>());
    for (auto const& [program, f1] : families["programs"].items())
        text += fmt::format("| {} | {} |\n", program, figure(f1));
    for (Json const& error : families["errors"])
        text +=
            fmt::format("\n{} was taken for {}.\n", error["run"].get<std::string>(), error["said"].get<std::string>());
    return text;
}

std::string joined(Json const& names)
{
    std::string text;
    for (Json const& name : names)
        text += (text.empty() ? "" : ", ") + name.get<std::string>();
    return text.empty() ? "none" : text;
}

constexpr std::array<Rgb, 6> line_colours{{{0.12, 0.29, 0.49},
                                           {0.80, 0.33, 0.10},
                                           {0.17, 0.55, 0.34},
                                           {0.55, 0.24, 0.60},
                                           {0.70, 0.55, 0.10},
                                           {0.35, 0.35, 0.35}}};
constexpr Rgb grid_colour{0.85, 0.85, 0.85};

/// A square from (0, 0) bottom left to (1, 1) top right.
struct Plot {
    Canvas& canvas;
    double left;
    double top;
    double side;

    [[nodiscard]] double x(double value) const { return left + value * side; }
    [[nodiscard]] double y(double value) const { return top + side - value * side; }

    void axes(char const* across, char const* up) const
    {
        for (int i = 0; i <= 10; i += 2) {
            double const at = i / 10.0;
            canvas.line(x(at), y(0), x(at), y(1), grid_colour, 1);
            canvas.line(x(0), y(at), x(1), y(at), grid_colour, 1);
            canvas.text(x(at), y(0) + 14, fmt::format("{:.1f}", at), 12, Align::centre);
            canvas.text(x(0) - 8, y(at), fmt::format("{:.1f}", at), 12, Align::right);
        }
        canvas.frame(left, top, side, side);
        canvas.text(x(0.5), y(0) + 36, across, 13, Align::centre);
        canvas.vertical_text(left - 48, y(0.5), up, 13);
    }
};

} // namespace

std::string report_of(Json const& figures)
{
    std::string text =
        fmt::format("# Evaluation\n\n{} runs to train on, {} to test on{}. Windows of {} s every second "
                    "(the figures of windows take those that do not overlap), with {} s of context; "
                    "repeated reads {}.\n\nEvery window of a ransomware run counts as ransomware, also "
                    "those before its first write and after its last, except in the test bed's runs, whose "
                    "attack is known to the second. In brackets: 95 % intervals, runs "
                    "drawn anew.\n\nTaken for ransomware: {}. Taken for benign: {}.\n",
                    figures["split"]["train"].size(), figures["split"]["test"].size(),
                    figures["split"]["one_folder"].get<bool>()
                        ? " (one folder: the first half of the runs of each program and machine trains)"
                        : "",
                    figures["window_s"].get<double>(), figures["context_s"].get<double>(),
                    figures["leak_filter"].get<bool>() ? "are left out (leak filter)" : "are kept",
                    joined(figures["taken_for_ransomware"]), joined(figures["taken_for_benign"]));
    for (Json const& run : figures.value("left_out", Json::array()))
        text += fmt::format("\nLeft out: {} ({}).\n", run["run"].get<std::string>(), run["why"].get<std::string>());
    for (auto const& [complaint, count] : figures["complaints"].items())
        text += fmt::format("\nIn the files: {} times {}.\n", count.get<std::uint64_t>(), complaint);
    for (auto const& [name, why] : figures.value("tracks_left_out", Json::object()).items())
        text += fmt::format("\nNothing is said of {}: {}.\n", name, why.get<std::string>());
    Json const tracks = figures.value("tracks", Json::object());
    for (auto const& [name, track] : tracks.items())
        text += track_text(name == "reads" ? "Reads only" : "Reads and writes", track);
    return text + families_text(figures["families"]);
}

void draw_curves(std::vector<NamedCurve> const& curves, std::filesystem::path const& file)
{
    constexpr double side = 460;
    double const below = 60 + 20 * static_cast<double>(curves.size());
    Canvas canvas{{.width = 1140, .height = static_cast<int>(60 + side + below)}, PictureFormat::png, file};
    canvas.rectangle(0, 0, 1140, 60 + side + below, {1, 1, 1});
    Plot const roc{canvas, 80, 50, side};
    Plot const pr{canvas, 640, 50, side};
    canvas.text(roc.x(0.5), 28, "ROC", 15, Align::centre, true);
    canvas.text(pr.x(0.5), 28, "Precision and recall", 15, Align::centre, true);
    roc.axes("false-positive rate", "recall");
    pr.axes("recall", "precision");
    for (std::size_t i = 0; i < curves.size(); ++i) {
        Rgb const& colour = line_colours[i % line_colours.size()];
        double const width = i < line_colours.size() ? 2.0 : 1.0;
        CurvePoint before{.recall = 0, .precision = 1, .false_positive_rate = 0};
        for (CurvePoint const& point : curves[i].points) {
            canvas.line(roc.x(before.false_positive_rate), roc.y(before.recall), roc.x(point.false_positive_rate),
                        roc.y(point.recall), colour, width);
            canvas.line(pr.x(before.recall), pr.y(before.precision), pr.x(point.recall), pr.y(point.precision), colour,
                        width);
            before = point;
        }
        double const y = 50 + side + 60 + 20 * static_cast<double>(i);
        canvas.line(80, y, 110, y, colour, width);
        canvas.text(120, y, curves[i].name, 13, Align::left);
    }
    canvas.finish();
}

} // namespace undercroft::analysis
