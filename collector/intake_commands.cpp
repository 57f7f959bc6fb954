// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Commands for sensors and their answers.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "collector/intake.hpp"

namespace undercroft::collector {
namespace {

constexpr std::chrono::milliseconds repeat_interval{200};

std::uint64_t utc_now_ns()
{
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count());
}

} // namespace

Intake::Boot* Intake::latest_start(Id const& machine) const
{
    Boot* latest = nullptr;
    std::uint64_t latest_ns = 0;
    std::shared_lock const guard{boots_mutex_};
    for (auto const& [key, boot] : boots_) {
        if (key.machine != machine)
            continue;
        std::lock_guard const boot_guard{boot->mutex};
        if (latest == nullptr || boot->last_heard_utc_ns > latest_ns) {
            latest = boot.get();
            latest_ns = boot->last_heard_utc_ns;
        }
    }
    return latest;
}

std::expected<Intake::Answer, Intake::CommandFailure> Intake::command(Lane& lane, Socket const& socket,
                                                                      Id const& machine, wire::ControlCommand command,
                                                                      std::span<std::uint8_t const> more,
                                                                      std::chrono::milliseconds patience)
{
    Boot* const boot = latest_start(machine);
    if (boot == nullptr)
        return std::unexpected{CommandFailure::machine_unknown};
    auto const end = std::chrono::steady_clock::now() + patience;
    std::unique_lock guard{boot->mutex};
    boot->command_number = std::max(utc_now_ns(), boot->command_number + 1);
    boot->answer.reset();
    wire::CommandBody body{};
    body.number = boot->command_number;
    body.command = static_cast<std::uint16_t>(command);
    while (!boot->answer && std::chrono::steady_clock::now() < end) {
        send_command(lane, socket, *boot, body, more);
        answered_.wait_for(guard, repeat_interval, [boot] { return boot->answer.has_value(); });
    }
    if (!boot->answer)
        return std::unexpected{CommandFailure::no_answer};
    return *std::exchange(boot->answer, std::nullopt);
}

void Intake::send_command(Lane& lane, Socket const& socket, Boot& boot, wire::CommandBody const& body,
                          std::span<std::uint8_t const> more) const
{
    std::array<std::uint8_t, wire::datagram_overhead + sizeof(body) + sizeof(wire::MemoryRequest)> buffer{};
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(wire::Type::command);
    header.stream = static_cast<std::uint16_t>(wire::Stream::control);
    std::ranges::copy(boot.key.machine, header.machine_id);
    std::ranges::copy(boot.key.boot, header.boot_id);
    header.instance = instance_;
    header.counter = ++boot.ack_counter;
    header.sealed_bytes = static_cast<std::uint32_t>(sizeof(body) + more.size());
    std::memcpy(buffer.data(), &header, sizeof(header));
    std::memcpy(buffer.data() + sizeof(header), &body, sizeof(body));
    std::ranges::copy(more, buffer.begin() + sizeof(header) + sizeof(body));
    std::span const datagram{buffer.data(), wire::datagram_overhead + sizeof(body) + more.size()};
    boot.seal.seal(datagram);
    static_cast<void>(socket.send(boot.peer, datagram)); // what was not sent is sent again
    lane.counters_.add(Counter::commands_sent);
}

Intake::Verdict Intake::take_answer(Lane& lane, Boot& boot, AnswerMessage const& message)
{
    lane.counters_.add(Counter::answers_received);
    if (message.body.number.get() != boot.command_number || boot.answer)
        return Verdict::accepted; // of an earlier command, or told before
    Answer answer{message.body, std::vector<wire::MemoryStatus>(message.states.size() / sizeof(wire::MemoryStatus))};
    if (!message.states.empty())
        std::memcpy(answer.states.data(), message.states.data(), message.states.size());
    boot.answer = std::move(answer);
    answered_.notify_all();
    return Verdict::accepted;
}

} // namespace undercroft::collector
