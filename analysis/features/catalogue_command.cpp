// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft windows: the catalogue's features as CSV.
#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/detect/verdict.hpp"
#include "analysis/features/catalogue.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

struct WindowsCommand {
    std::string input;
    std::vector<std::string> windows{"10s"};
    std::string step = "1s";
    std::string set = "rich";
    std::string out;
    bool keep_leak = false;
    bool nanoseconds = false;
    bool list = false;

    void add_to(CLI::App& command)
    {
        command.add_option("INPUT", input, "Store, or folder of runs laid out as RanSAP's or RanSMAP's");
        command.add_option("--windows", windows, "Lengths; each row looks back over all of them")
            ->delimiter(',')
            ->allow_extra_args(false)
            ->capture_default_str();
        command.add_option("--step", step, "From one row to the next")->capture_default_str();
        command.add_option("--set", set, "ransap, ransap-reads, ransmap, rich, reads or payload-free")
            ->capture_default_str();
        command.add_option("--out", out, "File for the CSV (standard output without)");
        command.add_flag("--keep-leak", keep_leak, "Do not drop repeated reads");
        command.add_flag("--nanoseconds", nanoseconds, "Sub-seconds of run folders are nanoseconds, not n of 2^30");
        command.add_flag("--list", list, "Print the features instead: name, unit, formula, source");
    }

    void run() const
    {
        if (list)
            return print_list();
        if (input.empty())
            throw Error{"INPUT is missing"};
        ExtractorOptions options;
        options.step_ns = parse_duration(step);
        options.first_reads_only = !keep_leak;
        for (std::string const& window : windows)
            options.windows_ns.push_back(parse_duration(window));
        std::vector<FeatureColumn> columns;
        for (std::size_t window = 0; window < windows.size(); ++window)
            for (Feature const* const feature : features_of(feature_set_of(set)))
                columns.push_back({feature, window});
        std::string text = "trace,end_ns";
        for (FeatureColumn const& column : columns)
            text += "," + column_name(column, options.windows_ns);
        text += "\n";
        SubSecondScale const scale = nanoseconds ? SubSecondScale::nanoseconds : SubSecondScale::two_to_30;
        for_each_trace(input, scale, [&](std::string const& name, TraceRun const& trace) {
            append_rows(text, name, trace, options, columns);
        });
        if (out.empty())
            fmt::print("{}", text);
        else
            write_file(out, text);
    }

private:
    static void append_rows(std::string& text, std::string const& name, TraceRun const& trace,
                            ExtractorOptions const& options, std::vector<FeatureColumn> const& columns)
    {
        FeatureExtractor extractor{options, [&](WindowRow const& row) {
                                       text += fmt::format("{},{}", name, row.end_ns);
                                       for (FeatureColumn const& column : columns)
                                           text +=
                                               fmt::format(",{}", column.feature->value(row.windows[column.window]));
                                       text += "\n";
                                   }};
        for (Access const& access : trace.accesses)
            extractor.push(access);
    }

    static void print_list()
    {
        fmt::print("| feature | unit | formula | source | machine |\n|---|---|---|---|---|\n");
        for (Feature const& feature : catalogue())
            fmt::print("| `{}` | {} | {} | {} | {} |\n", feature.name, feature.unit, feature.formula, feature.source,
                       feature.of_the_machine ? "yes" : "");
    }
};

} // namespace

void register_windows(CLI::App& root, int& exit_code)
{
    CLI::App* const command =
        root.add_subcommand("windows", "Every feature that the detector knows, over windows of time, as CSV");
    auto const self = std::make_shared<WindowsCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
