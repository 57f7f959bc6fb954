// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/control/desk.hpp"

#include <algorithm>

namespace undercroft::collector {
namespace {

constexpr std::chrono::seconds patience{10};

ControlReply failed(CallOutcome outcome)
{
    ControlReply reply{};
    reply.outcome = static_cast<std::uint16_t>(outcome);
    return reply;
}

} // namespace

ControlReply carry_out(ControlCall const& call, Intake& intake, Intake::Lane& lane, Socket const& socket)
{
    auto const command = static_cast<wire::ControlCommand>(call.command.get());
    bool const memory = command == wire::ControlCommand::memory;
    if (!memory && command != wire::ControlCommand::start && command != wire::ControlCommand::stop)
        return failed(CallOutcome::bad_call);
    Id machine{};
    std::ranges::copy(call.machine, machine.begin());
    auto const* const raw = reinterpret_cast<std::uint8_t const*>(&call.memory);
    auto const answer =
        intake.command(lane, socket, machine, command, {raw, memory ? sizeof(call.memory) : 0}, patience);
    if (!answer)
        return failed(answer.error() == Intake::CommandFailure::machine_unknown ? CallOutcome::machine_unknown
                                                                                : CallOutcome::no_answer);
    ControlReply reply{};
    reply.result = answer->body.result;
    reply.states = static_cast<std::uint32_t>(answer->states.size());
    std::ranges::copy(answer->states, reply.state.begin());
    return reply;
}

} // namespace undercroft::collector
