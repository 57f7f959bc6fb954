// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// ucctl: controls the sensor from inside the guest, by an authenticated hypercall.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <thread>

#include "control_cli/memory_command.hpp"
#include "control_cli/memory_report.hpp"
#include "ucctl/client.hpp"
#include "ucctl/commands.hpp"
#include "ucctl/key_file.hpp"
#include "ucctl/machine_linux.hpp"
#include "ucctl/report.hpp"

namespace {

using namespace undercroft;
using namespace undercroft::ucctl;
using namespace undercroft::control_cli;

enum ExitCode : int { exit_done = 0, exit_failed = 1, exit_usage = 2, exit_no_sensor = 3 };

constexpr auto follow_interval = std::chrono::milliseconds(500);

int report(Error const& error)
{
    std::cerr << "ucctl: " << error.text << '\n';
    return error.failure == Failure::no_answer ? exit_no_sensor : exit_failed;
}

/// Prints an answer as text or JSON.
template <typename T, typename Text, typename Json>
int show(Options const& options, Result<T> const& answer, Text to_text, Json to_json)
{
    if (!answer)
        return report(answer.error());
    std::cout << (options.json ? to_json(*answer) : to_text(*answer)) << std::flush;
    return std::cout ? exit_done : exit_failed;
}

int show_log(Options const& options, Client& client)
{
    std::uint64_t cursor = options.from_line;
    for (;;) {
        auto const part = client.log(cursor);
        if (!part)
            return report(part.error());
        if (options.json && (part->next != cursor || !options.follow))
            std::cout << log_json(*part);
        else if (!options.json)
            std::cout << part->text;
        if (part->lost != 0 && !options.json && cursor != 0)
            std::cerr << "ucctl: " << part->lost << " lines were overwritten before they could be read\n";
        if (!std::cout.flush())
            return exit_failed; // the reader of a pipe has gone
        bool const more = part->next != cursor;
        cursor = part->next;
        if (!more && !options.follow)
            return exit_done;
        if (!more)
            std::this_thread::sleep_for(follow_interval);
    }
}

int show_memory(Options const& options, Client& client, MemoryArguments const& arguments)
{
    auto const request = memory_request(arguments);
    if (!request) {
        std::cerr << "ucctl: " << request.error() << '\n';
        return exit_usage;
    }
    auto states = client.memory(*request);
    if (!states && states.error().failure == Failure::refused)
        if (auto const now = client.memory({}); now)
            std::cerr << missing_text(*now);
    return show(options, states, memory_text, memory_json);
}

int run(CLI::App const& app, Options const& options, MemoryArguments const& memory)
{
    std::string warning;
    auto const key = read_key_file(options.key_file, warning);
    if (!key) {
        std::cerr << "ucctl: " << key.error() << '\n';
        return exit_usage;
    }
    if (!warning.empty())
        std::cerr << "ucctl: warning: " << warning << '\n';
    LinuxMachine machine;
    Client client{*key, machine};
    if (app.got_subcommand("status"))
        return show(options, client.status(), status_text, status_json);
    if (app.got_subcommand("start"))
        return show(options, client.set_capture(true), status_text, status_json);
    if (app.got_subcommand("stop"))
        return show(options, client.set_capture(false), status_text, status_json);
    if (app.got_subcommand("counters"))
        return show(options, client.counters(), counters_text, counters_json);
    if (app.got_subcommand("memory"))
        return show_memory(options, client, memory);
    if (app.got_subcommand("version"))
        return show(options, client.hello(), version_text, version_json);
    return show_log(options, client);
}

} // namespace

int main(int argc, char** argv)
{
    Options options;
    MemoryArguments memory;
    CLI::App app{"", "ucctl"};
    add_commands(app, options, memory);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        return app.exit(error) == 0 ? exit_done : exit_usage;
    }
    try {
        return run(app, options, memory);
    } catch (std::exception const& error) {
        std::cerr << "ucctl: " << error.what() << '\n';
        return exit_failed;
    }
}
