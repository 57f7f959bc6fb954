// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// lwIP over one NIC. There is one instance at a time (lwIP's state is global), used by
// one caller at a time: in the sensor everything here runs under the sender's lock.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/net/datagram_port.hpp"
#include "hypervisor/net/nic.hpp"
#include "hypervisor/net/time_server_port.hpp"

struct udp_pcb; // NOLINT(readability-identifier-naming): lwIP's

namespace undercroft::net {

struct StackOptions {
    bool dhcp = true;
    core::Ipv4 address{}, netmask{}, gateway{}; ///< without dhcp
    core::Ipv4 collector{};
    std::uint16_t collector_port = 0;
    bool sntp = false;
    core::Ipv4 sntp_server{};
    std::uint16_t sntp_port = 123;
    std::uint16_t mtu = 1500;      ///< 576 ... 9000
    std::uint64_t random_seed = 1; ///< port numbers, transaction ids: differs from boot to boot
};

class Stack final : public DatagramPort, public TimeServerPort {
public:
    Stack(StackOptions const& options, Nic& nic, core::Clock const& clock, core::Counters& counters);
    Stack(Stack const&) = delete;
    Stack& operator=(Stack const&) = delete;
    /// Ends this instance, so that another one can be made.
    void shut_down();

    // To the collector.
    void poll(Tsc now) override;
    [[nodiscard]] bool ready() override { return next_hop_known_; }
    [[nodiscard]] std::span<std::uint8_t> buffer() override;
    [[nodiscard]] bool send(std::size_t bytes) override;
    void kick() override;
    [[nodiscard]] std::span<std::uint8_t> receive() override;

    // To the time server.
    [[nodiscard]] bool send_request(std::span<std::uint8_t const> packet) override;
    [[nodiscard]] std::size_t take_answer(std::span<std::uint8_t> into, Tsc& arrived) override;

    /// 0.0.0.0 until DHCP has given one.
    [[nodiscard]] core::Ipv4 address() const;

private:
    static constexpr std::size_t largest_datagram = 2048;
    static constexpr std::size_t largest_answer = 128;

    void input(std::span<std::byte const> frame);
    void check_link(Tsc now);
    void check_next_hop(Tsc now);
    [[nodiscard]] bool next_hop_in_table() const;
    friend struct LwipGlue;

    Nic* nic_;
    core::Clock const* clock_;
    core::Counters* counters_;
    std::uint16_t mtu_;
    core::Ipv4 collector_;
    udp_pcb* collector_pcb_ = nullptr;
    udp_pcb* time_pcb_ = nullptr;

    std::uint64_t tick_ms_;
    Tsc next_timers_{}, next_link_check_{}, next_arp_request_{};
    bool link_ = false;
    bool next_hop_known_ = false;
    bool queued_ = false;      ///< frames wait for the doorbell
    unsigned frames_left_ = 0; ///< that may still be read in this poll

    std::array<std::uint8_t, largest_datagram> received_{};
    std::size_t received_bytes_ = 0;
    std::array<std::uint8_t, largest_answer> answer_{};
    std::size_t answer_bytes_ = 0;
    Tsc answer_arrived_{};
};

} // namespace undercroft::net
