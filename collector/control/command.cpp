// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// `undercroft control`: a command for a sensor, by way of the collector that hears it.
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "collector/commands.hpp"
#include "collector/control/client.hpp"
#include "collector/ingest/identity.hpp"
#include "control_cli/memory_command.hpp"
#include "control_cli/memory_report.hpp"
#include "wire/control.hpp"

namespace undercroft::collector {
namespace {

struct Arguments {
    std::string socket;
    std::string machine;
    bool json = false;
    wire::ControlCommand command{};
    control_cli::MemoryArguments memory;
};

ControlCall make_call(Arguments const& arguments)
{
    ControlCall call{};
    call.magic = control_call_magic;
    call.command = static_cast<std::uint16_t>(arguments.command);
    auto const machine = id_from_hex(arguments.machine);
    if (!machine)
        throw std::runtime_error{"--machine: a machine id is 32 hexadecimal digits"};
    std::memcpy(call.machine, machine->data(), machine->size());
    if (arguments.command == wire::ControlCommand::memory) {
        auto const request = control_cli::memory_request(arguments.memory);
        if (!request)
            throw std::runtime_error{request.error()};
        call.memory = *request;
    }
    return call;
}

int run(Arguments const& arguments)
{
    ControlReply const reply = ask_collector(arguments.socket, make_call(arguments));
    auto const outcome = static_cast<CallOutcome>(reply.outcome.get());
    if (outcome != CallOutcome::answered)
        throw std::runtime_error{text_of(outcome)};
    std::vector<wire::MemoryStatus> const states = states_of(reply);
    auto const result = static_cast<wire::ControlResult>(reply.result.get());
    if (result != wire::ControlResult::done) {
        fmt::print(stderr, "{}", control_cli::missing_text(states));
        throw std::runtime_error{text_of(result)};
    }
    if (arguments.command == wire::ControlCommand::memory)
        fmt::print("{}", arguments.json ? control_cli::memory_json(states) : control_cli::memory_text(states));
    else
        fmt::print("{}", arguments.json ? "{\"done\":true}\n" : "done\n");
    return 0;
}

} // namespace

void register_control_command(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("control", "Command a sensor through the collector that hears it");
    auto const arguments = std::make_shared<Arguments>();
    command->add_option("--collector", arguments->socket, "what `undercroft collect --control-socket` was given")
        ->required()
        ->type_name("SOCKET");
    command->add_option("--machine", arguments->machine, "machine id")->required()->type_name("HEX");
    command->add_flag("--json", arguments->json, "print one JSON object instead of text");
    command->require_subcommand(1);
    command->fallthrough();
    command->add_subcommand("start", "switch capture on");
    command->add_subcommand("stop", "switch capture off");
    command->add_subcommand("hold-writes", "let no further write of the guest reach its disks; reads go on");
    command->add_subcommand("release-writes", "let the guest's writes go on, the held ones first");
    control_cli::add_memory_command(*command, arguments->memory);
    command->final_callback([arguments, command, &exit_code] {
        using enum wire::ControlCommand;
        constexpr std::pair<char const*, wire::ControlCommand> plain[] = {
            {"start", start}, {"stop", stop}, {"hold-writes", hold_writes}, {"release-writes", release_writes}};
        arguments->command = memory;
        for (auto const& [name, value] : plain)
            if (command->got_subcommand(name))
                arguments->command = value;
        try {
            exit_code = run(*arguments);
        } catch (std::exception const& error) {
            std::fflush(stdout);
            fmt::print(stderr, "undercroft control: error: {}\n", error.what());
            exit_code = 1;
        }
    });
}

} // namespace undercroft::collector
