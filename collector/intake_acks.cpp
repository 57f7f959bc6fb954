// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The answers: what has arrived, what is durable, and how much more is welcome.
#include <algorithm>

#include "collector/intake.hpp"

namespace undercroft::collector {
namespace {

/// While the store cannot take more, new slots would only wait in memory.
constexpr std::uint64_t slots_welcome_when_full = 4;

} // namespace

void Intake::acknowledge(Lane& lane, Socket const& socket)
{
    for (Boot* const boot : lane.due_) {
        std::lock_guard const guard{boot->mutex};
        boot->queued = false;
        if (std::exchange(boot->control_ack_due, false))
            send_ack(lane, socket, *boot, wire::Stream::control, nullptr);
        for (StreamState& state : boot->stream)
            if (std::exchange(state.ack_due, false))
                send_ack(lane, socket, *boot, state.assembly->stream(), state.assembly.get());
    }
    lane.due_.clear();
}

/// Slots from here on should stay with the sensor for now.
std::uint64_t Intake::slot_limit(StreamAssembly const& assembly) const
{
    bool const full = store_.failing() || store_.pending_full();
    std::uint64_t const welcome = assembly.slots_welcome();
    return assembly.next_slot() + (full ? std::min(welcome, slots_welcome_when_full) : welcome);
}

void Intake::send_ack(Lane& lane, Socket const& socket, Boot& boot, wire::Stream stream, StreamAssembly const* assembly)
{
    std::vector<wire::AckEntry> entries;
    wire::AckBody body{};
    body.highest_counter = boot.highest_counter;
    if (assembly != nullptr) {
        body.next_slot = assembly->durable_slot();
        entries = assembly->ack_entries();
    }
    std::size_t const entries_bytes = entries.size() * sizeof(wire::AckEntry);
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(wire::Type::ack);
    header.stream = static_cast<std::uint16_t>(stream);
    std::ranges::copy(boot.key.machine, header.machine_id);
    std::ranges::copy(boot.key.boot, header.boot_id);
    header.instance = instance_;
    header.counter = ++boot.ack_counter;
    header.first_sequence = assembly != nullptr ? slot_limit(*assembly) : 0;
    header.count = static_cast<std::uint32_t>(entries.size());
    header.sealed_bytes = static_cast<std::uint32_t>(sizeof(body) + entries_bytes);

    std::array<std::uint8_t, wire::datagram_overhead + sizeof(body) + wire::max_ack_entries * sizeof(wire::AckEntry)>
        buffer{};
    std::memcpy(buffer.data(), &header, sizeof(header));
    std::memcpy(buffer.data() + sizeof(header), &body, sizeof(body));
    if (!entries.empty())
        std::memcpy(buffer.data() + sizeof(header) + sizeof(body), entries.data(), entries_bytes);
    std::span const datagram{buffer.data(), wire::datagram_overhead + sizeof(body) + entries_bytes};
    boot.seal.seal(datagram);
    lane.counters_.add(socket.send(boot.peer, datagram) ? Counter::acks_sent : Counter::ack_send_failed);
}

} // namespace undercroft::collector
