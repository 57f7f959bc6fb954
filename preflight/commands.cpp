// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/commands.hpp"

#include <cstdio>
#include <memory>

#include "preflight/collector/command.hpp"
#include "preflight/print.hpp"

namespace undercroft::preflight {
namespace {

struct Arguments {
    Plan plan;
    bool json = false;
};

int run(Arguments const& arguments)
{
    Facts const facts = read_facts(this_machine());
    std::vector<Finding> const findings = judge(facts, arguments.plan);
    std::string const text = arguments.json ? as_json(facts, findings) : as_text(facts, findings);
    std::fputs(text.c_str(), stdout);
    return exit_code(facts, findings);
}

} // namespace

void register_preflight_commands(CLI::App& root, int& exit_code)
{
    auto const arguments = std::make_shared<Arguments>();
    CLI::App* const command =
        root.add_subcommand("preflight", "Say whether the sensor can run beneath this machine, and what it would miss");
    command->add_flag("--json", arguments->json, "findings as JSON");
    command->add_option("--buffer-kib", arguments->plan.buffer_kib, "buffer_kib that undercroft.conf will have")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{64}, std::uint64_t{4194304}));
    command->footer(
        "Without a further word it is about the machine that is to carry the sensor: run it there as root, before "
        "installing it (modprobe msr makes "
        "the processor's details readable). It changes nothing.\n"
        "Exit code 0: the sensor can start; 1: a problem prevents it from starting, or from seeing or sending "
        "anything; 2: no problem was found, but not everything could be read.");
    command->callback([command, arguments, &exit_code] {
        if (command->get_subcommands().empty())
            exit_code = run(*arguments);
    });
    register_collector_preflight(*command, *root.get_subcommand("collect"), exit_code);
}

} // namespace undercroft::preflight
