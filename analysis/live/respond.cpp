// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/live/respond.hpp"

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "collector/control/client.hpp"
#include "collector/ingest/identity.hpp"
#include "wire/control.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::array<std::string_view, 3> names{"none", "hold-writes", "memory-capture"};

collector::ControlCall call_of(ResponsePolicy policy, DiskName const& disk)
{
    collector::ControlCall call{};
    call.magic = collector::control_call_magic;
    bool const hold = policy == ResponsePolicy::hold_writes;
    call.command = static_cast<std::uint16_t>(hold ? wire::ControlCommand::hold_writes : wire::ControlCommand::memory);
    collector::Id const machine = collector::id_from_hex(disk.machine).value_or(collector::Id{});
    std::memcpy(call.machine, machine.data(), machine.size());
    if (!hold) {
        call.memory.mode = static_cast<std::uint16_t>(wire::MemoryMode::snapshot);
        call.memory.action = static_cast<std::uint16_t>(wire::MemoryAction::start);
    }
    return call;
}

std::string text_of(collector::ControlReply const& reply)
{
    switch (static_cast<collector::CallOutcome>(reply.outcome.get())) {
    case collector::CallOutcome::answered:
        break;
    case collector::CallOutcome::machine_unknown:
        return "the collector has not heard this machine since it started";
    case collector::CallOutcome::no_answer:
        return "the sensor did not answer";
    case collector::CallOutcome::bad_call:
        return "the collector did not understand";
    }
    switch (static_cast<wire::ControlResult>(reply.result.get())) {
    case wire::ControlResult::done:
        return "done";
    case wire::ControlResult::not_possible:
        return "not possible on this machine";
    case wire::ControlResult::busy:
        return "busy: another memory mode runs";
    case wire::ControlResult::unknown_command:
        return "the sensor does not know this command";
    default:
        return "refused by the sensor";
    }
}

} // namespace

ResponsePolicy response_policy_of(std::string const& name)
{
    for (std::size_t i = 0; i < names.size(); ++i)
        if (name == names[i])
            return static_cast<ResponsePolicy>(i);
    throw Error{fmt::format("there is no policy '{}'; there are {}", name, fmt::join(names, ", "))};
}

nlohmann::json respond(ResponsePolicy policy, std::string const& control_socket, DiskName const& disk)
{
    std::string result;
    try {
        result = text_of(collector::ask_collector(control_socket, call_of(policy, disk)));
    } catch (std::exception const& error) {
        result = error.what();
    }
    return {{"policy", names[static_cast<std::size_t>(policy)]}, {"result", result}, {"at_ns", utc_now_ns()}};
}

} // namespace undercroft::analysis
