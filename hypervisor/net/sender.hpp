// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Takes slots out of buffers and gets them to the collector: sealed datagrams,
// acknowledgements, repeats, hello and status. Any CPU may call; whoever finds another
// CPU at work goes on with its own.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/net/command_box.hpp"
#include "hypervisor/net/datagram_port.hpp"
#include "hypervisor/net/delivery.hpp"
#include "hypervisor/net/poll_task.hpp"
#include "hypervisor/net/rtt_estimator.hpp"
#include "wire/seal.hpp"

namespace undercroft::net {

/// Bytes of a slot that one datagram carries.
constexpr std::uint32_t fragment_bytes(std::uint16_t mtu)
{
    return static_cast<std::uint32_t>(max_payload_bytes(mtu) - wire::datagram_overhead - sizeof(wire::DataBody));
}

/// For SlotBuffer::Options: the largest slot that max_fragments datagrams can carry.
constexpr std::uint32_t max_slot_bytes(std::uint16_t mtu)
{
    return std::min(wire::max_slot_bytes, wire::max_fragments * fragment_bytes(mtu));
}

struct SenderOptions {
    std::array<std::uint8_t, 16> machine_id{};
    std::array<std::uint8_t, 16> boot_id{};
    wire::Key key{};                       ///< the pre-shared one
    std::uint16_t mtu = 1500;              ///< 576 ... 9000
    std::uint32_t datagrams_per_poll = 32; ///< of slots; what a poll may cost
    std::uint32_t poll_budget_us = 300;    ///< no datagram is begun after this time
};

/// What hello says of this sensor; times are filled in by the sender.
struct HelloInfo {
    char sensor_version[32]{};
    char cpu_backend[16]{};
    core::CaptureMode mode{};
    core::Policy policy{};
};

struct PollResult {
    bool busy = false;           ///< another CPU is at it; the rest is not filled in
    bool unsent = false;         ///< slots (or an open one) wait to be sent
    bool unacknowledged = false; ///< slots were sent and are not acknowledged
    [[nodiscard]] bool work_left() const { return busy || unsent || unacknowledged; }
};

class Sender final : public observe::RoomMaker {
public:
    Sender(SenderOptions const& options, DatagramPort& port, core::Clock const& clock, core::Counters& counters);
    Sender(Sender const&) = delete;
    Sender& operator=(Sender const&) = delete;

    // Before the first poll.
    /// False: too many streams, or the buffer's slots do not fit into max_fragments datagrams.
    [[nodiscard]] bool add_stream(wire::Stream stream, observe::SlotBuffer& buffer);
    void set_hello(HelloInfo const& info);
    /// Called in every poll, after what was received has been read (the SNTP clock).
    void set_task(PollTask& task) { task_ = &task; }

    /// Carries out what the collector has asked for since, if anything. Any CPU, without the sender's lock held.
    void serve_command(CommandTarget& target);

    /// Adds or replaces one disk (by source) in hello, which is then said again. Any CPU, any time.
    void set_disk(wire::DiskInfo const& disk);

    /// One bounded slice of work. Never waits.
    PollResult poll(Tsc now);
    /// Open slots are closed at the next poll whatever their age. Any CPU, any time.
    void flush() { flush_.store(true, std::memory_order_relaxed); }
    /// When the last acknowledgement was accepted; 0: none yet. Any CPU, any time.
    [[nodiscard]] Tsc last_ack() const { return Tsc{last_ack_.load(std::memory_order_relaxed)}; }
    /// This stream's part of what polls have taken so far, in ticks of all CPUs; 0 for ever for one that was not added.
    [[nodiscard]] std::atomic<std::uint64_t> const& sending_ticks(wire::Stream stream) const;
    /// For power-off: polls until everything is acknowledged (true) or the time is over.
    [[nodiscard]] bool drain(Tsc deadline);
    /// Policy hold: called by a SlotBuffer while it is full.
    void make_room() override { (void)poll(clock_->tsc()); }

private:
    static constexpr std::size_t max_streams = 3;
    static constexpr std::size_t remembered_sends = 2048; ///< datagrams whose time of sending is known
    static constexpr std::size_t retired_instances = 8;

    PollResult poll_locked(Tsc now);
    void receive_all(Tsc now);
    void on_datagram(std::span<std::uint8_t> datagram, Tsc now);
    [[nodiscard]] bool unseal(std::span<std::uint8_t> datagram, wire::DatagramHeader const& header);
    [[nodiscard]] bool fits(std::span<std::uint8_t const> datagram, wire::DatagramHeader& header) const;
    void on_ack(wire::DatagramHeader const& header, std::span<std::uint8_t const> body, Tsc now);
    void switch_instance(std::uint64_t instance);
    [[nodiscard]] bool is_retired(std::uint64_t instance) const;
    void take_rtt_sample(std::uint64_t counter, Tsc now);

    void on_command(std::span<std::uint8_t const> body);

    using PerStream = std::array<std::uint32_t, max_streams>;
    void share_cost(std::uint64_t ticks, PerStream const& sent);
    void send_data(Tsc now, PerStream& sent);
    [[nodiscard]] bool send_some(Delivery& delivery, std::uint32_t most, std::uint32_t& sent, Tsc now);
    [[nodiscard]] bool send_fragment(Delivery& delivery, Fragment const& fragment, Tsc at);
    void send_reports(Tsc now);
    void send_answer(Tsc now);
    [[nodiscard]] bool send_hello(Tsc now);
    [[nodiscard]] bool send_status(Tsc now);
    /// Completes header and seal of what lies at the port's buffer behind the header, and sends it.
    [[nodiscard]] bool send_sealed(wire::Type type, wire::Stream stream, std::uint64_t first_sequence,
                                   std::uint32_t count, std::size_t body_bytes, Tsc at);

    DatagramPort* port_;
    PollTask* task_ = nullptr;
    core::Clock const* clock_;
    core::Counters* counters_;
    core::Spinlock lock_;
    std::atomic<bool> flush_{false};

    std::array<std::uint8_t, 16> machine_id_, boot_id_;
    wire::Key pre_shared_, send_key_, receive_key_{};
    std::uint64_t instance_ = 0; ///< of the collector, valid with known_instance_
    bool known_instance_ = false;
    std::array<std::uint64_t, retired_instances> retired_{};
    std::size_t retired_count_ = 0;
    std::uint64_t highest_ack_counter_ = 0;
    std::atomic<std::uint64_t> last_ack_{0}; ///< TSC

    std::uint16_t mtu_;
    std::uint32_t datagrams_per_poll_;
    std::uint64_t budget_ticks_;
    std::uint64_t tick_second_;
    Tsc started_;
    Tsc next_hello_{}, next_status_{};
    std::uint64_t counter_ = 0;       ///< of the last datagram
    std::uint64_t hello_counter_ = 0; ///< of the first hello with today's contents; 0: none sent yet
    bool hello_acknowledged_ = false;
    HelloInfo hello_{};
    std::array<wire::DiskInfo, wire::max_hello_disks> disks_{};
    std::size_t disk_count_ = 0;

    CommandBox commands_;
    RttEstimator rtt_;
    std::array<Tsc, remembered_sends> sent_at_{};
    std::array<Delivery, max_streams> deliveries_{};
    std::array<std::atomic<std::uint64_t>, max_streams + 1> sending_ticks_{}; ///< as deliveries_; the last stays 0
    PerStream sent_last_{};                                                   ///< datagrams of the last poll with any
    std::size_t stream_count_ = 0;
};

} // namespace undercroft::net
