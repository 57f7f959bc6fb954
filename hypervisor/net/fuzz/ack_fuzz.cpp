// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Acknowledgements and commands as the sender sees them: raw bytes, and plaintext that a hostile
// collector (one with the key) sealed.
#include <cstring>
#include <vector>

#include "hypervisor/net/sender.hpp"
#include "hypervisor/net/tests/simulated_clock.hpp"

namespace {

using namespace undercroft;

struct FuzzPort final : net::DatagramPort {
    std::array<std::uint8_t, 1472> outgoing{};
    std::vector<std::vector<std::uint8_t>> incoming;
    std::vector<std::uint8_t> current;
    void poll(Tsc) override {}
    bool ready() override { return true; }
    std::span<std::uint8_t> buffer() override { return outgoing; }
    bool send(std::size_t) override { return true; }
    void kick() override {}
    std::span<std::uint8_t> receive() override
    {
        if (incoming.empty())
            return {};
        current = std::move(incoming.back());
        incoming.pop_back();
        return current;
    }
};

struct alignas(64) Line {
    std::byte bytes[64];
};

/// Header and seal around the fuzzer's plaintext; stream, count and instance are its choice.
std::vector<std::uint8_t> sealed_ack(std::span<std::uint8_t const> input, std::uint64_t counter)
{
    std::array<std::uint8_t, 16> const machine{1}, boot{2};
    wire::Key const key{3};
    std::size_t const body = input.size() - 3;
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    bool const command = input[0] >= 128;
    header.type = static_cast<std::uint8_t>(command ? wire::Type::command : wire::Type::ack);
    header.stream = static_cast<std::uint16_t>(input[0] % 4);
    std::memcpy(header.machine_id, machine.data(), 16);
    std::memcpy(header.boot_id, boot.data(), 16);
    std::uint64_t const instance = input[1] % 4;
    header.instance = instance;
    header.counter = counter;
    header.count = static_cast<std::uint32_t>(input[2] == 255 ? body : (body >= 16 ? (body - 16) / 16 : input[2]));
    header.sealed_bytes = static_cast<std::uint32_t>(body);
    std::vector<std::uint8_t> datagram(wire::datagram_overhead + body);
    std::memcpy(datagram.data(), &header, sizeof(header));
    std::memcpy(datagram.data() + sizeof(header), input.data() + 3, body);
    wire::seal(wire::derive_key(key, wire::Direction::from_collector, machine, boot, instance), datagram);
    return datagram;
}

/// Numbers rise, whatever is said.
struct RisingTarget final : net::CommandTarget {
    wire::ControlResult carry_out(net::Command const& command,
                                  std::span<wire::MemoryStatus, wire::memory_modes> states) override
    {
        if (command.number <= last)
            __builtin_trap();
        last = command.number;
        states[0].cycles = last;
        return wire::ControlResult::done;
    }
    std::uint64_t last = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    net::SimulatedClock clock;
    core::Counters counters;
    FuzzPort port;
    net::Sender sender{{{1}, {2}, {3}, 1500}, port, clock, counters};
    std::vector<Line> memory(1024);
    observe::SlotBuffer buffer{std::as_writable_bytes(std::span{memory}), {}, clock, counters, nullptr};
    if (!sender.add_stream(wire::Stream::storage, buffer))
        __builtin_trap();
    RisingTarget target;
    // Several acknowledgements, each with a length in front.
    std::uint64_t records = 0;
    for (std::uint64_t counter = 1; size > 4; ++counter) {
        buffer.begin_request();
        wire::Record record{};
        record.content_bytes = static_cast<std::uint32_t>(counter % 3 * 1000);
        std::array<std::byte, 4096> const content{};
        (void)buffer.append(record, content.data());
        buffer.end_request();
        ++records;
        sender.flush();
        clock.now += 30'000'000;
        (void)sender.poll(clock.tsc());
        std::size_t const bytes = std::min<std::size_t>(4 + data[0] % 100 + (data[0] > 250 ? 1000 : 0), size - 1);
        if (bytes >= 4) {
            port.incoming.push_back(sealed_ack({data + 1, bytes}, counter));
            port.incoming.emplace_back(data + 1, data + 1 + bytes);
        }
        data += 1 + bytes;
        size -= 1 + bytes;
        (void)sender.poll(clock.tsc());
        sender.serve_command(target);
    }
    // Whatever was said, the buffer's books must balance.
    if (buffer.oldest() > buffer.closed_end() || buffer.next_sequence() != records)
        __builtin_trap();
    return 0;
}
