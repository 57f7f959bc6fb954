// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "ucctl/commands.hpp"

#include "control_cli/memory_command.hpp"

namespace undercroft::ucctl {

void add_commands(CLI::App& app, Options& options, control_cli::MemoryArguments& memory)
{
    app.description("Controls the Undercroft sensor beneath this machine.");
    app.footer(
        "Exit codes: 0 done, 1 the sensor refused or something failed, 2 usage or key file, 3 no sensor answered.\n"
        "The key file holds control_key of the sensor's undercroft.conf: 64 hex digits, or that line itself.");
    app.require_subcommand(1);
    app.fallthrough();
    app.add_option("--key-file", options.key_file, "file with the control key")
        ->capture_default_str()
        ->type_name("FILE");
    app.add_flag("--json", options.json, "print one JSON object instead of text");
    app.set_version_flag("--version", UNDERCROFT_VERSION);
    app.add_subcommand("status", "show what the sensor is doing");
    app.add_subcommand("start", "switch capture on");
    app.add_subcommand("stop", "switch capture off");
    app.add_subcommand("counters", "show all counters that are not zero");
    app.add_subcommand("version", "show the versions of ucctl and sensor, and which boot this is");
    control_cli::add_memory_command(app, memory);
    auto* const log = app.add_subcommand("log", "show the sensor's log");
    log->add_flag("-f,--follow", options.follow, "keep showing new lines (JSON: one object per batch)");
    log->add_option("--from", options.from_line, "first line number to show");
}

} // namespace undercroft::ucctl
