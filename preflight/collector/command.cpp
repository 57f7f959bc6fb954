// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/collector/command.hpp"

#include <cstdio>
#include <memory>

#include "collector/config/config_file.hpp"
#include "preflight/collector/facts.hpp"
#include "preflight/print.hpp"

namespace undercroft::preflight {
namespace {

constexpr auto default_store = "/var/lib/undercroft/store";

struct Arguments {
    std::string config, store, listen;
    bool json = false;
};

/// The value that `collect` would use: from the file, else its default.
std::string setting(CLI::App const& collect, std::string const& option)
{
    CLI::Option const* const found = collect.get_option_no_throw(option);
    if (found == nullptr)
        return {};
    return found->count() > 0 ? found->results().front() : found->get_default_str();
}

CollectorPlan plan_of(Arguments const& arguments, CLI::App& collect)
{
    if (!arguments.config.empty())
        static_cast<void>(collector::apply_config(collect, collector::read_config(arguments.config), arguments.config));
    CollectorPlan plan;
    plan.listen = arguments.listen.empty() ? setting(collect, "--listen") : arguments.listen;
    plan.metrics_listen = setting(collect, "--metrics-listen");
    plan.store = arguments.store.empty() ? setting(collect, "--store") : arguments.store;
    if (plan.store.empty())
        plan.store = default_store;
    plan.key_file = setting(collect, "--key-file");
    plan.receive_buffer_bytes = std::stoull(setting(collect, "--receive-buffer")) << 20;
    return plan;
}

int run(Arguments const& arguments, CLI::App& collect)
{
    CollectorPlan const plan = plan_of(arguments, collect);
    CollectorFacts const facts = read_collector_facts(plan);
    std::vector<Finding> const findings = judge_collector(facts, plan);
    int const code = exit_code(findings, facts.unread);
    char const* const conclusion = code == 0   ? "The collector can run on this machine."
                                   : code == 1 ? "The collector cannot run on this machine as it is: see the problems."
                                               : "No problem was found, but not everything could be read.";
    std::string const text = arguments.json ? report_json(findings, facts.unread,
                                                          code == 0   ? "can_start"
                                                          : code == 1 ? "cannot_start"
                                                                      : "incomplete")
                                            : report_text(findings, facts.unread, conclusion);
    std::fputs(text.c_str(), stdout);
    return code;
}

} // namespace

void register_collector_preflight(CLI::App& preflight, CLI::App& collect, int& exit_code)
{
    auto const arguments = std::make_shared<Arguments>();
    CLI::App* const command =
        preflight.add_subcommand("collector", "Say whether the collector can run on this machine, and how fast");
    command->add_option("--config", arguments->config, "configuration file that the collector will have")
        ->type_name("FILE");
    command
        ->add_option("--store", arguments->store,
                     std::string{"folder of the store (default: the file's, else "} + default_store + ")")
        ->type_name("DIR");
    command->add_option("--listen", arguments->listen, "UDP address and port (default: the file's)")
        ->type_name("ADDRESS:PORT");
    command->add_flag("--json", arguments->json, "findings as JSON");
    command->footer(
        "Run it as the user that will run the collector. It takes about five seconds: it writes and syncs up "
        "to 256 MiB in the store's folder, in a file without a name that is gone afterwards.\n"
        "Exit code 0: the collector can run; 1: a problem prevents it; 2: no problem was found, but not "
        "everything could be read.");
    command->callback([arguments, &collect, &exit_code] { exit_code = run(*arguments, collect); });
}

} // namespace undercroft::preflight
