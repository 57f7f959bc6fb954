// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which fragment of one stream goes next: first transmissions, selective repeats,
// window. Knows nothing of datagrams, keys or the network. One caller at a time.
#include <array>
#include <cstdint>
#include <span>

#include "base/units.hpp"
#include "hypervisor/net/rtt_estimator.hpp"
#include "hypervisor/observe/slot_buffer.hpp"
#include "wire/datagram.hpp"

namespace undercroft::net {

/// One fragment that shall be sent now.
struct Fragment {
    observe::SlotView slot;
    std::uint32_t index = 0;
    std::uint32_t fragments = 0;
    std::uint32_t offset = 0;
    std::uint32_t bytes = 0;
    bool again = false; ///< it was sent before
};

class Delivery {
public:
    /// As many slots as one acknowledgement can speak of.
    static constexpr std::uint32_t max_window = wire::max_ack_entries;

    Delivery() = default;
    void attach(wire::Stream stream, observe::SlotBuffer& buffer, std::uint32_t fragment_bytes, std::uint64_t tsc_hz);

    [[nodiscard]] wire::Stream stream() const { return stream_; }
    [[nodiscard]] observe::SlotBuffer& buffer() const { return *buffer_; }

    /// Sets repeats that are due. Call once per poll.
    void run_timers(Tsc now, RttEstimator const& rtt);
    /// The next fragment to send; false: nothing now. Call sent() when it has gone.
    [[nodiscard]] bool next(Tsc now, Fragment& fragment);
    void sent(Fragment const& fragment, std::uint64_t counter, Tsc at);

    /// Applies an acknowledgement as a whole, or, when a field is impossible, not at all: false.
    [[nodiscard]] bool acknowledge(std::uint64_t next_slot, std::uint64_t highest_counter,
                                   std::span<wire::AckEntry const> entries, Tsc now, RttEstimator const& rtt);
    /// The collector gave a sign of life.
    void heard(Tsc now);
    /// The collector welcomes slots below; 0: it does not say.
    void set_limit(std::uint64_t slot) { limit_ = slot; }
    /// The collector is another instance: it has none of the fragments of unacknowledged slots.
    void forget();

    /// Every closed slot is sent and the window has room for one more.
    [[nodiscard]] bool idle() const;
    [[nodiscard]] bool unsent() const { return pending_ || next_slot_ < buffer_->closed_end(); }
    [[nodiscard]] bool unacknowledged() const { return buffer_->oldest() < buffer_->closed_end(); }
    /// Nothing was heard for so long that only probes go out.
    [[nodiscard]] bool quiet() const { return quiet_; }
    [[nodiscard]] std::uint32_t window() const { return window_; }

private:
    /// A slot between its first transmission and its acknowledgement.
    struct Flight {
        std::uint64_t all = 0;      ///< one bit per fragment
        std::uint64_t received = 0; ///< the collector has them
        std::uint64_t to_send = 0;
        std::uint64_t sent_once = 0;
        std::uint64_t last_counter = 0; ///< of the last datagram that carried a fragment of it
        Tsc last_sent{};
        std::uint32_t attempts = 0; ///< timeouts in a row
        [[nodiscard]] std::uint64_t missing() const { return all & ~received; }
    };

    [[nodiscard]] Flight& flight(std::uint64_t number) { return flights_[number % max_window]; }
    [[nodiscard]] std::uint64_t window_end() const;
    [[nodiscard]] bool believable(std::uint64_t next_slot, std::span<wire::AckEntry const> entries);
    [[nodiscard]] bool fill(std::uint64_t number, std::uint32_t index, Fragment& fragment);
    [[nodiscard]] bool admit(Tsc now);
    void repeat(std::uint64_t number, std::uint64_t fragments);
    void check_timeout(std::uint64_t number, Tsc now, RttEstimator const& rtt);
    void repeat_lost(std::uint64_t highest_counter, Tsc now, RttEstimator const& rtt);
    void shrink_window(std::uint32_t to, Tsc now, RttEstimator const& rtt);

    observe::SlotBuffer* buffer_ = nullptr;
    wire::Stream stream_ = wire::Stream::storage;
    std::uint32_t fragment_bytes_ = 0;
    std::uint64_t tick_5ms_ = 0, tick_100ms_ = 0, tick_1s_ = 0;

    std::uint64_t next_slot_ = 0; ///< first slot that is not in flight yet
    std::uint64_t limit_ = 0;     ///< slots from here on stay here for now; 0: no limit
    std::uint64_t cursor_ = 0;    ///< slots in flight below it have nothing to send
    bool pending_ = false;        ///< some slot in flight may have something to send
    bool quiet_ = false;
    bool probe_ = false;       ///< quiet: one fragment of the oldest slot shall go
    std::uint32_t window_ = 8; ///< slots
    Tsc reduced_at_{};
    Tsc heard_at_{}; ///< last sign of life, or when the oldest wait began
    Tsc next_timer_{};
    observe::SlotView view_{}; ///< of the slot last looked at
    bool view_valid_ = false;
    std::array<Flight, max_window> flights_{};
};

} // namespace undercroft::net
