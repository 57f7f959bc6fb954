// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// `undercroft fsck`
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "collector/commands.hpp"
#include "collector/store/fsck.hpp"

namespace undercroft::collector {
namespace {

constexpr int clean = 0;
constexpr int problems_found = 1;
constexpr int not_checked = 2;

struct Arguments {
    std::string store;
    FsckOptions options;
    bool json = false;
};

void print_text(FsckReport const& report)
{
    for (Finding const& finding : report.findings)
        fmt::print("{}: {}: {}\n",
                   finding.repaired                           ? "repaired"
                   : finding.grade == Finding::Grade::problem ? "problem"
                                                              : "note",
                   finding.path, finding.text);
    if (report.findings.size() == max_findings)
        fmt::print("... and more\n");
    fmt::print("{} streams, {} record files, {} rows, {} gaps of {} records; {} content files, {} blocks; {} journal "
               "segments with {} slots\n{} problems, {} repaired\n",
               report.streams, report.record_files, report.rows, report.gap_rows, report.gap_records,
               report.content_files, report.content_blocks, report.journal_segments, report.journal_slots,
               report.problems, report.repaired);
}

void print_json(FsckReport const& report)
{
    auto findings = nlohmann::ordered_json::array();
    for (Finding const& finding : report.findings)
        findings.push_back({{"problem", finding.grade == Finding::Grade::problem},
                            {"path", finding.path},
                            {"text", finding.text},
                            {"repaired", finding.repaired}});
    nlohmann::ordered_json const document{
        {"problems", report.problems},
        {"repaired", report.repaired},
        {"streams", report.streams},
        {"record_files", report.record_files},
        {"rows", report.rows},
        {"gap_rows", report.gap_rows},
        {"gap_records", report.gap_records},
        {"content_files", report.content_files},
        {"content_blocks", report.content_blocks},
        {"journal_segments", report.journal_segments},
        {"journal_slots", report.journal_slots},
        {"findings", findings},
    };
    fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

int run(Arguments const& arguments)
{
    try {
        FsckReport const report = check_store(arguments.store, arguments.options);
        if (arguments.json)
            print_json(report);
        else
            print_text(report);
        return report.problems == 0 ? clean : problems_found;
    } catch (std::exception const& error) {
        fmt::print(stderr, "undercroft fsck: {}\n", error.what());
        return not_checked;
    }
}

} // namespace

void register_fsck_command(CLI::App& root, int& exit_code)
{
    auto const arguments = std::make_shared<Arguments>();
    CLI::App* const command = root.add_subcommand("fsck", "Check a store on disk, and repair what needs no guessing");
    command->add_option("STORE", arguments->store, "folder of the store")->required();
    command->add_flag(
        "--repair", arguments->options.repair,
        "remove unfinished files and what compaction left over, set unreadable files aside; only while no "
        "collector uses the store");
    command->add_flag("--deep", arguments->options.deep, "hash every content block again");
    command->add_flag("--json", arguments->json, "for programs");
    command->footer("Exit code 0: no problems, or all repaired; 1: problems; 2: could not be checked.");
    command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

} // namespace undercroft::collector
