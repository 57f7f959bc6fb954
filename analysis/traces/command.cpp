// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft import.
#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/read/error.hpp"
#include "analysis/traces/import.hpp"

namespace undercroft::analysis {
namespace {

struct ImportCommand {
    std::string format;
    std::string folder;
    std::string store;
    bool nanoseconds = false;

    void add_to(CLI::App& command)
    {
        command.add_option("--format", format, "Of the folders")
            ->check(CLI::IsMember({"ransap", "ransmap"}))
            ->required();
        command.add_option("DIR", folder, "Folder of runs as published, or any part of it")->required();
        command.add_option("STORE", store, "Store to add them to; made if it is not there")->required();
        command.add_flag("--nanoseconds", nanoseconds, "Sub-seconds are nanoseconds, not n of 2^30");
    }

    void run() const
    {
        prepare_store(store);
        Complaints complaints;
        std::array<std::size_t, 3> outcomes{};
        std::uint64_t records = 0;
        std::uint64_t left_out = 0;
        SubSecondScale const scale = nanoseconds ? SubSecondScale::nanoseconds : SubSecondScale::two_to_30;
        for (RunPlace const& place : find_runs(folder)) {
            TraceRun const run = load_run(place, scale, {.memory = format == "ransmap"});
            Imported const outcome = import_run(run, store);
            ++outcomes[static_cast<std::size_t>(outcome)];
            complaints += run.complaints;
            if (outcome == Imported::written)
                for (Access const& access : run.accesses)
                    ++(is_memory(access.kind) ? left_out : records);
            if (!run.has_reads || !run.has_writes)
                fmt::print(stderr, "undercroft import: note: {} has no {} file\n", place.path,
                           run.has_reads ? "write" : "read");
        }
        for (std::size_t i = 0; i < complaint_kinds; ++i)
            if (complaints.counts[i] != 0)
                fmt::print(stderr, "undercroft import: warning: {} times {}\n", complaints.counts[i],
                           to_string(static_cast<Complaint>(i)));
        if (left_out != 0)
            fmt::print(stderr, "undercroft import: note: {} memory accesses were not stored\n", left_out);
        fmt::print("{} runs with {} records imported, {} were there already, {} held no storage access\n", outcomes[0],
                   records, outcomes[1], outcomes[2]);
    }
};

} // namespace

void register_import(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("import", "Add runs of RanSAP or RanSMAP to a store");
    auto const self = std::make_shared<ImportCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
