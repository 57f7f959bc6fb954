// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Commands to sensors, as `undercroft control` gives them.
#include <cstring>

#include <nlohmann/json.hpp>

#include "collector/control/client.hpp"
#include "collector/ingest/identity.hpp"
#include "control_cli/memory_options.hpp"
#include "control_cli/memory_report.hpp"
#include "serve/api/api.hpp"
#include "wire/control.hpp"
#include "wire/memory_names.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

std::string text_in(json const& body, char const* name)
{
    auto const found = body.find(name);
    if (found == body.end() || found->is_null())
        return {};
    if (!found->is_string() || found->get_ref<std::string const&>().size() > 64)
        throw BadRequest{std::string{name} + ": a short text is wanted"};
    return found->get<std::string>();
}

bool flag_in(json const& body, char const* name)
{
    auto const found = body.find(name);
    if (found == body.end())
        return false;
    if (!found->is_boolean())
        throw BadRequest{std::string{name} + ": true or false is wanted"};
    return found->get<bool>();
}

wire::MemoryMode mode_in(json const& body)
{
    std::string const name = text_in(body, "mode");
    for (std::uint16_t number = 1; number <= wire::memory_modes; ++number)
        if (auto const mode = static_cast<wire::MemoryMode>(number); wire::name_of(mode) == name)
            return mode;
    if (!name.empty())
        throw BadRequest{"mode: access, written, snapshot or watch is wanted"};
    return wire::MemoryMode::none;
}

/// What `undercroft control … memory` has as options.
wire::MemoryRequest memory_in(json const& body)
{
    control_cli::MemoryArguments arguments;
    std::string const action = text_in(body, "action");
    arguments.mode = mode_in(body);
    if (action == "start" && arguments.mode != wire::MemoryMode::none)
        arguments.action = wire::MemoryAction::start;
    else if (action == "stop")
        arguments.action = wire::MemoryAction::stop;
    else if (action != "status")
        throw BadRequest{"action: status, stop or start with a mode is wanted"};
    arguments.every = text_in(body, "every");
    arguments.range = text_in(body, "range");
    arguments.rate = text_in(body, "rate");
    arguments.budget = text_in(body, "budget");
    arguments.delay = text_in(body, "delay");
    arguments.huge = flag_in(body, "huge");
    arguments.consistent = flag_in(body, "consistent");
    arguments.no_content = flag_in(body, "no_content");
    auto const request = control_cli::memory_request(arguments);
    if (!request)
        throw BadRequest{request.error()};
    return *request;
}

collector::ControlCall call_in(json const& body)
{
    collector::ControlCall call{};
    call.magic = collector::control_call_magic;
    std::string const command = text_in(body, "command");
    auto const machine = collector::id_from_hex(text_in(body, "machine"));
    if (!machine)
        throw BadRequest{"machine: 32 hexadecimal digits are wanted"};
    std::memcpy(call.machine, machine->data(), machine->size());
    if (command == "start")
        call.command = static_cast<std::uint16_t>(wire::ControlCommand::start);
    else if (command == "stop")
        call.command = static_cast<std::uint16_t>(wire::ControlCommand::stop);
    else if (command == "memory") {
        call.command = static_cast<std::uint16_t>(wire::ControlCommand::memory);
        call.memory = memory_in(body);
    } else {
        throw BadRequest{"command: start, stop or memory is wanted"};
    }
    return call;
}

} // namespace

Reply Api::control(Request const& request) const
{
    if (!options_.link.command)
        throw NotFound{"no collector can be reached from here: start with --collector SOCKET, or `collect --serve`"};
    if (!request.content_type.starts_with("application/json"))
        throw BadRequest{"application/json is wanted"};
    json const body = json::parse(request.body, nullptr, false);
    if (!body.is_object())
        throw BadRequest{"a JSON object is wanted"};
    collector::ControlCall const call = call_in(body);
    collector::ControlReply reply{};
    try {
        reply = options_.link.command(call);
    } catch (std::runtime_error const& error) {
        return error_reply(502, error.what());
    }
    auto const outcome = static_cast<collector::CallOutcome>(reply.outcome.get());
    if (outcome != collector::CallOutcome::answered)
        return error_reply(502, collector::text_of(outcome));
    std::vector<wire::MemoryStatus> const states = collector::states_of(reply);
    if (auto const result = static_cast<wire::ControlResult>(reply.result.get()); result != wire::ControlResult::done)
        return error_reply(409, std::string{collector::text_of(result)} + ". " + control_cli::missing_text(states));
    json const memory = json::parse(control_cli::memory_json(states), nullptr, false);
    return json_reply({{"done", true}, {"memory", memory.is_discarded() ? json{} : memory}});
}

} // namespace undercroft::serve
