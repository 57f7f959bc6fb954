// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/features/table.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::int64_t max_steps_per_window = 10'000;

struct FeaturesCommand {
    StoreOptions store;
    SourceOption source;
    std::string window = "10s";
    std::string step = "1s";
    std::string format = "csv";
    std::string out;

    void add_to(CLI::App& command);
    void run() const;

private:
    [[nodiscard]] WindowShape parse_shape() const;
    [[nodiscard]] std::uint64_t run_boot(Boot const& boot, WindowShape shape, FeatureTable& table) const;
};

void FeaturesCommand::add_to(CLI::App& command)
{
    store.add_to(command);
    source.add_to(command);
    command.add_option("--window", window, "Length of the window")->capture_default_str();
    command.add_option("--step", step, "From one window's begin to the next; divides the window")
        ->capture_default_str();
    command.add_option("--format", format, "Of the file")
        ->check(CLI::IsMember({"csv", "parquet"}))
        ->capture_default_str();
    command.add_option("--out", out, "The file")->required();
}

WindowShape FeaturesCommand::parse_shape() const
{
    WindowShape const shape{.window_ns = parse_duration(window), .step_ns = parse_duration(step)};
    if (shape.window_ns % shape.step_ns != 0 || shape.window_ns / shape.step_ns > max_steps_per_window)
        throw Error{fmt::format("--window {} must be --step {} times a whole number of at most {}", window, step,
                                max_steps_per_window)};
    return shape;
}

/// How many windows.
std::uint64_t FeaturesCommand::run_boot(Boot const& boot, WindowShape shape, FeatureTable& table) const
{
    TimeSurvey survey;
    scan_records(boot, {}, {}, [&](RecordRow const& row) {
        survey.add(row.time_ns);
        return Visit::next;
    });
    std::uint64_t windows = 0;
    SlidingWindows sliding{shape, survey, [&](Window const& window) {
                               table.add(boot, features_of(window, shape));
                               ++windows;
                           }};
    Columns const columns{.address = true, .length = true, .source = true, .entropy = true};
    RecordFilter filter;
    filter.source = source.get();
    ScanResult const result = scan_records(boot, columns, filter, [&](RecordRow const& row) {
        sliding.add(row);
        return Visit::next;
    });
    if (result.rows != 0)
        sliding.finish();
    return windows;
}

void FeaturesCommand::run() const
{
    WindowShape const shape = parse_shape();
    std::vector<Boot> const boots = list_boots(store.store, store.machine, store.boot);
    if (boots.empty())
        throw Error{fmt::format("{}: no boot matches", store.store)};
    auto const table = format == "csv" ? make_csv_table(out) : make_parquet_table(out);
    std::uint64_t windows = 0;
    for (Boot const& boot : boots) {
        std::uint64_t const count = run_boot(boot, shape, *table);
        if (count == 0)
            fmt::print(stderr, "undercroft features: note: boot {} of machine {} has no complete window\n", boot.id,
                       boot.machine);
        windows += count;
    }
    table->close();
    fmt::print("{}: {} windows of {} boots\n", out, windows, boots.size());
}

} // namespace

void register_features(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand(
        "features", "Throughput, spread and entropy in a sliding window: what detectors learn from");
    auto const self = std::make_shared<FeaturesCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
