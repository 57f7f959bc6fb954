// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line of `ucctl memory`.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "control_cli/memory_options.hpp"
#include "wire/memory_names.hpp"

namespace undercroft::control_cli {
namespace memory_command_detail {

inline CLI::App* add_mode(CLI::App& memory, MemoryArguments& arguments, char const* name, wire::MemoryMode mode,
                          char const* help)
{
    auto* const command = memory.add_subcommand(name, help);
    command->callback([&arguments, mode] {
        arguments.mode = mode;
        arguments.action = wire::MemoryAction::start;
    });
    command->add_option("--range", arguments.range,
                        "only these guest-physical bytes, BEGIN+BYTES: 0x100000+64M; default: all usable memory");
    return command;
}

inline void add_access(CLI::App& memory, MemoryArguments& arguments)
{
    auto* const mode = add_mode(memory, arguments, "access", wire::MemoryMode::access,
                                "record the first read, write and execution of each page after each re-arming");
    auto* const every =
        mode->add_option("--every", arguments.every, "time between re-armings: 250us, 300ms, 2s (default 300ms)");
    mode->add_option("--turns", arguments.turns, "re-arm at each n-th VM exit instead")->excludes(every);
    mode->add_flag("--huge", arguments.huge, "pages of 2 MiB instead of 4 KiB");
    mode->add_flag("--only-touched", arguments.only_touched, "re-arm page by page what was touched since");
    mode->add_flag("--keep-entries", arguments.keep_entries,
                   "re-arming leaves the nested entries (only TLBs are flushed)");
    mode->add_flag("--keep-tlb", arguments.keep_tlb, "re-arming flushes no TLB (only entries are cleared)");
}

inline void add_written(CLI::App& memory, MemoryArguments& arguments)
{
    auto* const mode = add_mode(memory, arguments, "written", wire::MemoryMode::written,
                                "record written pages with their bytes as they are after the write");
    mode->add_option(
        "--budget", arguments.budget,
        "share of all CPUs' time; what it does not pay for is left alone and said to be (default 10%; 100%: "
        "every write)");
    mode->add_option("--depth", arguments.depth, "copy a page when so many others were written after it (default 7)");
    mode->add_option("--delay", arguments.delay, "or after this time (default 10ms)");
    mode->add_option("--thin", arguments.thin, "record every m-th write of each page (default 1, at most 255)");
    mode->add_flag("--no-content", arguments.no_content, "entropy only");
}

inline void add_snapshot(CLI::App& memory, MemoryArguments& arguments)
{
    auto* const mode = add_mode(memory, arguments, "snapshot", wire::MemoryMode::snapshot,
                                "send all usable memory, once or again and again");
    mode->add_option("--every", arguments.every, "time between the starts of sweeps (default: one sweep)");
    mode->add_option("--rate", arguments.rate, "bytes per second that may be copied: 10M (default: by the link)");
    mode->add_option("--budget", arguments.budget, "share of all CPUs' time for copying (default 3%, with --rate 25%)");
    mode->add_flag("--consistent", arguments.consistent, "every page as it was when the sweep began");
    mode->add_flag("--full", arguments.full_sweeps, "later sweeps too send every page, not only those written since");
}

inline void add_watch(CLI::App& memory, MemoryArguments& arguments)
{
    auto* const mode = add_mode(memory, arguments, "watch", wire::MemoryMode::watch,
                                "see as many page accesses as a share of the CPUs' time allows");
    mode->add_option("--budget", arguments.budget, "share of all CPUs' time (default 5%)");
    mode->add_option("--every", arguments.every, "time between scans (default: as the budget allows)");
}

} // namespace memory_command_detail

inline void add_memory_command(CLI::App& app, MemoryArguments& arguments)
{
    using namespace memory_command_detail;
    auto* const memory = app.add_subcommand("memory", "watch the guest's memory");
    memory->require_subcommand(1);
    memory->footer(
        "A mode that runs is changed by starting it again. Of access, written, consistent snapshots and watch\n"
        "one runs at a time.");
    memory->add_subcommand("status", "show all modes and what this processor lacks");
    add_access(*memory, arguments);
    add_written(*memory, arguments);
    add_snapshot(*memory, arguments);
    add_watch(*memory, arguments);
    auto* const stop = memory->add_subcommand("stop", "stop one mode, or all");
    auto const mode = std::make_shared<std::string>();
    stop->add_option("mode", *mode, "access, written, snapshot or watch; default: all")
        ->check(CLI::IsMember({"access", "written", "snapshot", "watch"}));
    stop->callback([&arguments, mode] {
        arguments.action = wire::MemoryAction::stop;
        arguments.mode = wire::MemoryMode::none;
        for (std::uint16_t number = 1; number <= wire::memory_modes; ++number)
            if (auto const one = static_cast<wire::MemoryMode>(number); wire::name_of(one) == *mode)
                arguments.mode = one;
    });
}

} // namespace undercroft::control_cli
