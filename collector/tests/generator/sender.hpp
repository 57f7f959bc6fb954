// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A stand-in for the sensor's sender: slots in a window, sealed fragments, retransmission until acknowledged.
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "collector/ingest/identity.hpp"
#include "collector/tests/generator/records.hpp"
#include "wire/seal.hpp"

namespace undercroft::generator {

struct SenderOptions {
    std::string to = "127.0.0.1:4710";
    wire::Key key{};
    collector::BootKey boot;
    RecordRules rules;
    std::uint64_t records = 10000;
    std::uint64_t records_per_second = 0; ///< 0: as fast as acknowledgements allow
    std::size_t slot_bytes = wire::max_slot_bytes;
    std::size_t fragment_bytes = 1400;
    std::size_t window_slots = 256;    ///< slots made and not yet acknowledged
    std::uint64_t gap_every_slots = 0; ///< before every so manieth slot some records are left out
    std::chrono::milliseconds retransmit{60};
    std::chrono::seconds give_up{60};
};

struct SenderResult {
    bool complete = false; ///< every slot was acknowledged
    std::uint64_t records = 0;
    std::uint64_t next_sequence = 0;
    std::uint64_t slots = 0;
    std::uint64_t datagrams = 0;
    std::uint64_t resent = 0;
    std::uint64_t acks = 0;
    std::uint64_t acks_refused = 0;
    std::uint64_t bytes = 0;
    double seconds = 0;
    struct Gap {
        std::uint64_t first;
        std::uint64_t missing;
    };
    std::vector<Gap> gaps;
};

class Sender {
public:
    explicit Sender(SenderOptions options);
    ~Sender();
    Sender(Sender const&) = delete;
    Sender& operator=(Sender const&) = delete;
    [[nodiscard]] SenderResult run();

private:
    using Clock = std::chrono::steady_clock;
    struct Slot {
        std::uint64_t first_sequence{};
        std::uint32_t count{};
        std::vector<std::uint8_t> bytes;
        std::uint16_t fragments{};
        std::uint64_t acknowledged{}; ///< bit i = fragment i has arrived
        std::vector<Clock::time_point> sent;
    };

    void connect();
    [[nodiscard]] bool may_make(Clock::time_point now) const;
    void make_slot();
    void send_due(Clock::time_point now);
    bool send_fragment(std::uint64_t number, Slot& slot, std::uint16_t index, Clock::time_point now);
    bool send_sealed(wire::Type type, wire::Stream stream, std::uint64_t first_sequence, std::uint32_t count,
                     std::span<std::uint8_t const> plaintext);
    void send_hello();
    void send_status();
    void receive_acks();
    void take_ack(std::span<std::uint8_t> datagram);

    SenderOptions options_;
    SenderResult result_;
    int fd_ = -1;
    wire::Key send_key_;
    std::uint64_t counter_ = 0;
    std::uint64_t collector_instance_ = 0;
    std::uint64_t collector_counter_ = 0;
    std::vector<std::uint64_t> former_instances_; ///< an overtaken acknowledgement of theirs means nothing any more
    bool hello_acknowledged_ = false;
    std::deque<Slot> window_;
    std::uint64_t oldest_slot_ = 0; ///< number of window_.front()
    Clock::time_point start_{};
};

} // namespace undercroft::generator
