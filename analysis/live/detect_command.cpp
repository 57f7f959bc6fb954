// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft detect: of a store, of a folder of runs, or live.
#include <csignal>

#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/detect/judge_store.hpp"
#include "analysis/live/commands.hpp"
#include "analysis/live/watch.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void ask_to_stop(int)
{
    stop_asked = true;
}

void say(std::string const& line)
{
    fmt::print(stderr, "{}\n", line);
}

struct DetectCommand {
    StoreOptions store;
    WatchOptions watching;
    bool live = false;
    bool dry_run = false;
    bool nanoseconds = false;
    bool json = false;

    void add_to(CLI::App& command);
    void run() const;

private:
    void run_live() const;
    void run_batch() const;
};

void DetectCommand::add_to(CLI::App& command)
{
    store.add_to(command);
    command.get_option("STORE")->description("Store, or folder of runs laid out as RanSAP's");
    command.add_option("--model", watching.model, "Model file written by undercroft train")->required();
    command.add_flag("--live", live, "Follow the store while undercroft collect writes it, until SIGINT or SIGTERM");
    command.add_flag("--dry-run", dry_run, "Print what is found, and write nothing into the store");
    command.add_flag("--nanoseconds", nanoseconds, "Sub-seconds of run folders are nanoseconds, not n of 2^30");
    command.add_flag("--json", json, "One line of JSON per disk or run");
    command.add_option("--control-socket", watching.control_socket,
                       "Live: the collector's, for --policy; what `undercroft collect --control-socket` was given");
    watching.add_to(command, "--", "Alerts");
}

void DetectCommand::run_live() const
{
    if (dry_run || json || !store.boot.empty())
        throw Error{"--live takes neither --dry-run nor --json nor --boot"};
    std::signal(SIGINT, ask_to_stop);
    std::signal(SIGTERM, ask_to_stop);
    check(watching);
    fmt::print("watching {}\n", store.store);
    std::fflush(stdout);
    watch(store.store, store.machine, watching, stop_asked, say);
}

void DetectCommand::run_batch() const
{
    ModelFile const models = ModelFile::load(watching.model);
    GuardOptions options{.store = store.store, .detector = {}, .write = !dry_run};
    options.detector.quiet_ns = parse_duration(watching.quiet);
    auto const print = [&](Verdict const& verdict) {
        fmt::print("{}\n", json ? json_of(verdict).dump() : text_of(verdict));
    };
    if (is_store(store.store))
        judge_store(list_boots(store.store, store.machine, store.boot), models, options, print);
    else
        judge_runs(store.store, nanoseconds ? SubSecondScale::nanoseconds : SubSecondScale::two_to_30, models, options,
                   print);
}

void DetectCommand::run() const
{
    live ? run_live() : run_batch();
}

} // namespace

void register_detect(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("detect", "Look for ransomware in what was recorded, or as it comes");
    auto const self = std::make_shared<DetectCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
