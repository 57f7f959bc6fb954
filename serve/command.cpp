// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/command.hpp"

#include <csignal>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "serve/options.hpp"

namespace undercroft::serve {
namespace {

struct Arguments {
    SiteOptions site;
    std::string store;
    std::string collector;
};

/// Until SIGINT or SIGTERM. They must be blocked before any thread is made.
int run(Arguments arguments)
{
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    try {
        arguments.site.store = std::filesystem::absolute(arguments.store);
        if (!std::filesystem::is_directory(arguments.site.store))
            throw std::runtime_error{arguments.store + ": there is no such folder"};
        Site const site{arguments.site, link_to(arguments.collector)};
        fmt::print("{}", greeting(site));
        std::fflush(stdout);
        int signal = 0;
        ::sigwait(&signals, &signal);
        return 0;
    } catch (std::exception const& error) {
        fmt::print(stderr, "undercroft serve: error: {}\n", error.what());
        return 1;
    }
}

} // namespace

void register_serve_command(CLI::App& root, int& exit_code)
{
    auto const arguments = std::make_shared<Arguments>();
    CLI::App* const command = root.add_subcommand("serve", "Show a store in the browser, as it grows");
    command->add_option("store", arguments->store, "folder of the store")->required()->type_name("STORE");
    command->add_option("--listen", arguments->site.listen, "TCP address and port")
        ->capture_default_str()
        ->type_name("ADDRESS:PORT");
    command
        ->add_option("--collector", arguments->collector,
                     "what `undercroft collect --control-socket` was given: lets the page start, stop and tune capture")
        ->type_name("SOCKET");
    add_site_options(*command, arguments->site, "--", "Options");
    command->footer("Prints the address and, without --token-file, the token to sign in with. Stops on SIGTERM and "
                    "SIGINT.\nExample: undercroft serve /srv/undercroft");
    command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

} // namespace undercroft::serve
