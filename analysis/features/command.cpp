// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/features/catalogue.hpp"
#include "analysis/features/table.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"
#include "analysis/traces/boot_trace.hpp"
#include "analysis/traces/run_folder.hpp"

namespace undercroft::analysis {
namespace {

struct FeaturesCommand {
    StoreOptions store;
    SourceOption source;
    std::vector<std::string> windows{"10s"};
    std::string step = "1s";
    std::string set = "ransap";
    std::string format = "csv";
    std::string out;
    bool first_reads = false;
    bool nanoseconds = false;
    bool list = false;

    void add_to(CLI::App& command);
    void run() const;

private:
    /// Between a trace and the table.
    struct Plan {
        ExtractorOptions extractor;
        std::vector<FeatureColumn> columns;
        std::size_t longest{}; ///< index of the window
        bool memory{};

        [[nodiscard]] std::vector<std::string> column_names() const;
    };
    using Feed = std::function<void(FeatureExtractor&)>;

    [[nodiscard]] Plan make_plan() const;
    [[nodiscard]] static std::uint64_t extract(TraceName const& name, Plan const& plan, FeatureTable& table,
                                               Feed const& feed);
    [[nodiscard]] std::uint64_t run_boots(Plan const& plan, FeatureTable& table) const;
    [[nodiscard]] std::uint64_t run_folders(Plan const& plan, FeatureTable& table) const;
    static void print_list();
};

void FeaturesCommand::add_to(CLI::App& command)
{
    store.add_to(command);
    source.add_to(command);
    command.get_option("STORE")->required(false)->description("Store, or folder of runs laid out as RanSAP's or "
                                                              "RanSMAP's");
    command.add_option("--window", windows, "Lengths; with several, each row looks back over all of them")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->capture_default_str();
    command.add_option("--step", step, "From one window's end to the next")->capture_default_str();
    command.add_option("--set", set, "ransap, ransap-reads, ransmap, rich, reads, payload-free or storage")
        ->capture_default_str();
    command.add_option("--format", format, "Of the file")
        ->check(CLI::IsMember({"csv", "parquet"}))
        ->capture_default_str();
    command.add_option("--out", out, "The file");
    command.add_flag("--first-reads", first_reads,
                     "As the detector does, leave out reads of a block that was read within ten minutes");
    command.add_flag("--nanoseconds", nanoseconds, "Sub-seconds of run folders are nanoseconds, not n of 2^30");
    command.add_flag("--list", list, "Print the features instead: name, unit, formula, source");
}

FeaturesCommand::Plan FeaturesCommand::make_plan() const
{
    FeatureSet const wanted = feature_set_of(set);
    Plan plan;
    plan.memory = wanted == FeatureSet::ransmap;
    plan.extractor.step_ns = parse_duration(step);
    plan.extractor.first_reads_only = first_reads;
    plan.extractor.sums_only = needs_sums_only(wanted) && !first_reads;
    for (std::string const& window : windows) {
        plan.extractor.windows_ns.push_back(parse_duration(window));
        if (plan.extractor.windows_ns.back() > plan.extractor.windows_ns[plan.longest])
            plan.longest = plan.extractor.windows_ns.size() - 1;
        for (Feature const* const feature : features_of(wanted))
            plan.columns.push_back({feature, plan.extractor.windows_ns.size() - 1});
    }
    return plan;
}

std::vector<std::string> FeaturesCommand::Plan::column_names() const
{
    std::vector<std::string> names;
    for (FeatureColumn const& column : columns)
        names.push_back(extractor.windows_ns.size() == 1 ? std::string{column.feature->name}
                                                         : column_name(column, extractor.windows_ns));
    return names;
}

/// How many windows.
std::uint64_t FeaturesCommand::extract(TraceName const& name, Plan const& plan, FeatureTable& table, Feed const& feed)
{
    std::uint64_t rows = 0;
    std::vector<double> values(plan.columns.size());
    FeatureExtractor extractor{plan.extractor, [&](WindowRow const& row) {
                                   PaneTotals const& totals = row.windows[plan.longest].totals;
                                   std::uint64_t const reads = totals.get(Direction::read, RowCount::rows);
                                   std::uint64_t const writes = totals.get(Direction::write, RowCount::rows);
                                   std::uint64_t const lost = totals.get(WriteCount::lost_records);
                                   bool const memory =
                                       plan.memory && totals.memory_rows != decltype(totals.memory_rows){};
                                   if (!row.whole || (reads == 0 && writes == 0 && lost == 0 && !memory))
                                       return;
                                   for (std::size_t i = 0; i < values.size(); ++i)
                                       values[i] = plan.columns[i].feature->value(row.windows[plan.columns[i].window]);
                                   table.add(name, {.start_ns = row.end_ns - plan.extractor.windows_ns[plan.longest],
                                                    .values = values,
                                                    .read_pieces = reads,
                                                    .write_pieces = writes,
                                                    .lost_records = lost});
                                   ++rows;
                               }};
    feed(extractor);
    extractor.finish();
    if (rows == 0)
        fmt::print(stderr, "undercroft features: note: {} {} has no complete window\n", name.machine, name.boot);
    return rows;
}

std::uint64_t FeaturesCommand::run_boots(Plan const& plan, FeatureTable& table) const
{
    std::vector<Boot> const boots = list_boots(store.store, store.machine, store.boot);
    if (boots.empty())
        throw Error{fmt::format("{}: no boot matches", store.store)};
    std::uint64_t rows = 0;
    for (Boot const& boot : boots)
        rows += extract({boot.machine, boot.id}, plan, table, [&](FeatureExtractor& extractor) {
            for_each_access(boot, {.source = source.get(), .memory = plan.memory},
                            [&](Access const& access) { extractor.push(access); });
        });
    return rows;
}

std::uint64_t FeaturesCommand::run_folders(Plan const& plan, FeatureTable& table) const
{
    if (!store.machine.empty() || !store.boot.empty() || source.get())
        throw Error{"--machine, --boot and --source choose in a store, not in a folder of runs"};
    SubSecondScale const scale = nanoseconds ? SubSecondScale::nanoseconds : SubSecondScale::two_to_30;
    std::uint64_t rows = 0;
    for (RunPlace const& place : find_runs(store.store)) {
        TraceRun const run = load_run(place, scale, {.memory = plan.memory});
        rows += extract({place.environment, place.path}, plan, table,
                        [&](FeatureExtractor& extractor) { extractor.push(run.accesses); });
    }
    return rows;
}

void FeaturesCommand::run() const
{
    if (list)
        return print_list();
    if (store.store.empty() || out.empty())
        throw Error{"STORE and --out FILE are needed"};
    Plan const plan = make_plan();
    FeatureExtractor const check{plan.extractor, {}}; // throws when windows and step do not go together
    auto const table =
        format == "csv" ? make_csv_table(out, plan.column_names()) : make_parquet_table(out, plan.column_names());
    std::uint64_t const rows = is_store(store.store) ? run_boots(plan, *table) : run_folders(plan, *table);
    table->close();
    fmt::print("{}: {} windows\n", out, rows);
}

void FeaturesCommand::print_list()
{
    fmt::print("| feature | unit | formula | source | machine |\n|---|---|---|---|---|\n");
    for (Feature const& feature : catalogue())
        fmt::print("| `{}` | {} | {} | {} | {} |\n", feature.name, feature.unit, feature.formula, feature.source,
                   feature.of_the_machine ? "yes" : "");
}

} // namespace

void register_features(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand(
        "features", "Throughput, spread, entropy and more in a sliding window: what detectors learn from");
    auto const self = std::make_shared<FeaturesCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
