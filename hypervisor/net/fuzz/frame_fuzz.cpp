// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Frames from the wire into lwIP, the collector's port and the SNTP clock.
#include "hypervisor/net/sntp_clock.hpp"
#include "hypervisor/net/stack.hpp"
#include "hypervisor/net/tests/frame_peer.hpp"
#include "hypervisor/net/tests/simulated_clock.hpp"

using namespace undercroft;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    if (size == 0)
        return 0;
    net::SimulatedClock clock;
    core::Counters counters;
    net::FakeNic nic;
    net::Stack stack{{.dhcp = (data[0] & 1) != 0,
                      .address = {10, 0, 0, 15},
                      .netmask = {255, 255, 255, 0},
                      .gateway = {10, 0, 0, 1},
                      .collector = {10, 0, 0, 2},
                      .collector_port = 4000,
                      .sntp = true,
                      .sntp_server = {10, 0, 0, 2}},
                     nic,
                     clock,
                     counters};
    net::SntpClock time{clock, {}, counters};
    time.set_server(stack);
    stack.poll(clock.tsc());
    bool const direct = (data[0] & 2) != 0; // addressed to us, an IP packet with a right header checksum
    ++data;
    --size;
    while (size > 2) {
        std::size_t const bytes = std::min<std::size_t>(static_cast<std::size_t>(data[0]) * 8 + data[1] % 8, size - 2);
        net::Frame frame(data + 2, data + 2 + bytes);
        data += 2 + bytes;
        size -= 2 + bytes;
        if (direct && frame.size() >= 1) {
            net::Frame const payload(frame.begin() + 1, frame.end());
            constexpr std::uint8_t protocols[] = {17, 1, 17, 2};
            frame =
                net::ipv4(nic.own, {2, 0, 0, 0, 0, 1}, {10, 0, 0, 2}, {10, 0, 0, 15}, protocols[frame[0] % 4], payload);
        }
        nic.to_sensor.push_back(frame);
        clock.now += 20'000'000;
        stack.poll(clock.tsc());
        while (!stack.receive().empty()) {
        }
        time.poll(clock.tsc());
        if (stack.ready())
            (void)stack.send(100);
        stack.kick();
        nic.from_sensor.clear();
    }
    stack.shut_down();
    return 0;
}
