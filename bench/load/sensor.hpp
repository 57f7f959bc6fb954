// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One of many sensors of uc_sensor_load: known records in slots, sealed, in flight within a window that
// acknowledgements, losses and the collector's limit govern (docs/formats/datagram.md).
#include <netinet/in.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "collector/ingest/identity.hpp"
#include "collector/receive/datagram_cipher.hpp"
#include "collector/tests/generator/records.hpp"
#include "wire/seal.hpp"

namespace undercroft::load {

using Clock = std::chrono::steady_clock;

struct SensorOptions {
    sockaddr_in to{};
    wire::Key key{};
    collector::BootKey boot;
    generator::RecordRules rules;
    std::uint64_t records = 0;                ///< 0: until the time is over
    double records_per_second = 0;            ///< 0: as fast as acknowledgements allow
    std::size_t fragment_bytes = 1352;        ///< MTU 1500
    std::uint32_t in_flight = 64;             ///< slots, at most
    std::uint64_t gap_every_slots = 0;        ///< before every so manieth slot some records are left out
    bool blast = false;                       ///< never wait for acknowledgements: for a sink
    std::uint32_t prepared_slots = 0;         ///< blast: send these over and over, sealed beforehand
    bool prepare = false;                     ///< seal all records before the clock starts; `records` is set
    std::chrono::milliseconds most{86400000}; ///< make no records after this time
};

struct SensorResult {
    std::uint64_t records = 0;
    std::uint64_t next_sequence = 0;
    std::uint64_t slots = 0;
    std::uint64_t acknowledged_slots = 0;
    std::uint64_t datagrams = 0;
    std::uint64_t resent = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t send_refused = 0;
    std::uint64_t acks = 0;
    std::uint64_t acks_refused = 0;
    std::uint64_t bytes = 0;
    std::uint64_t limited_polls = 0; ///< polls in which the collector's limit kept slots back
    double worst_ack_ms = 0;         ///< longest time from a slot's first sending to its freeing
    struct Gap {
        std::uint64_t first;
        std::uint64_t missing;
    };
    std::vector<Gap> gaps;
};

class LoadSensor {
public:
    /// Prepared datagrams leave room between slots' counters for those that are sent on the way.
    static constexpr std::uint64_t counters_of_a_slot = 128;

    LoadSensor(SensorOptions const& options, Clock::time_point start);
    ~LoadSensor();
    LoadSensor(LoadSensor const&) = delete;
    LoadSensor& operator=(LoadSensor const&) = delete;

    /// With SensorOptions::prepare: makes and seals everything that will be sent.
    void prepare();
    /// Time is counted from here.
    void start(Clock::time_point now) { start_ = now; }
    /// Takes acknowledgements and sends what is due. True: something was done.
    bool poll(Clock::time_point now);
    /// Makes no more records.
    void end() { ended_ = true; }
    /// Everything that will be made is made and acknowledged.
    [[nodiscard]] bool done(Clock::time_point now) const;
    [[nodiscard]] bool may_make(Clock::time_point now) const;
    [[nodiscard]] SensorResult const& result() const { return result_; }
    [[nodiscard]] SensorOptions const& options() const { return options_; }
    [[nodiscard]] int fd() const { return fd_; }

private:
    struct Slot {
        std::uint64_t first_sequence{};
        std::uint32_t count{};
        std::uint32_t bytes{};
        std::uint16_t fragments{};
        std::uint64_t received{}; ///< bit i: fragment i has arrived
        std::uint64_t to_send{};  ///< bit i: fragment i shall go when the pace allows
        std::uint64_t sent_once{};
        std::uint64_t last_counter{};
        unsigned attempts{};
        Clock::time_point first_sent;
        Clock::time_point last_sent;
        std::vector<std::uint8_t> data;
        std::vector<std::uint8_t>
            sealed; ///< prepared: all fragments as datagrams, each as long as the kernel cuts them
        [[nodiscard]] std::uint64_t missing() const;
    };
    /// A datagram's counter and time, to measure round trips by.
    struct Sent {
        std::uint64_t counter{};
        Clock::time_point at;
    };

    void connect();
    [[nodiscard]] std::uint64_t due_records(Clock::time_point now) const;
    void make_slot(Slot& slot, std::uint64_t limit);
    void seal_all(std::uint64_t number, Slot& slot);
    [[nodiscard]] std::uint64_t records_left(Clock::time_point now) const;
    [[nodiscard]] std::size_t place_of(std::uint64_t counter) const
    {
        return (counter ^ counter / counters_of_a_slot) % sent_at_.size();
    }
    void note_sent(std::uint64_t counter, Clock::time_point now) { sent_at_[place_of(counter)] = {counter, now}; }
    Slot& next_flight(std::uint64_t due);
    void send_sealed(Slot& slot, std::uint64_t fragments);
    bool make_and_send(Clock::time_point now);
    bool drain(Clock::time_point now);
    void send_fragments(std::uint64_t number, Slot& slot, std::uint64_t fragments, Clock::time_point now);
    void put_fragment(std::uint64_t number, Slot const& slot, unsigned index, std::uint8_t* at, std::size_t bytes);
    bool transmit(std::uint8_t const* bytes, std::size_t count, std::size_t segment);
    void send_prepared();
    void send_control(wire::Type type, std::uint32_t count, std::span<std::uint8_t const> plaintext);
    void send_hello();
    void send_status();
    bool receive_acks(Clock::time_point now);
    void take_ack(std::span<std::uint8_t> datagram, Clock::time_point now);
    void free_up_to(std::uint64_t next_slot, Clock::time_point now);
    void take_entries(std::span<std::uint8_t const> entries);
    void repeat_lost(std::uint64_t highest, Clock::time_point now);
    void repeat_late(Clock::time_point now);
    void shrink(double to, Clock::time_point now);

    SensorOptions options_;
    SensorResult result_;
    Clock::time_point start_;
    int fd_ = -1;
    collector::DatagramCipher seal_;
    std::optional<collector::DatagramCipher> open_;
    std::uint64_t counter_ = 0;
    std::uint64_t instance_ = 0;
    std::uint64_t ack_counter_ = 0;
    std::vector<std::uint64_t> retired_;
    bool hello_acknowledged_ = false;
    bool ended_ = false;
    std::deque<Slot> flights_;
    std::vector<std::vector<std::uint8_t>> spare_; ///< buffers of freed slots
    std::uint64_t oldest_ = 0;                     ///< number of flights_.front()
    std::uint64_t limit_ = 0;                      ///< the collector takes slots below; 0: it has not said
    double window_ = 8;                            ///< slots; below 1 it still sets the pace
    bool lost_before_ = false;                     ///< from the first loss on the window grows slowly
    double tokens_ = 0;                            ///< bytes that may go now
    Clock::time_point refilled_at_{};
    Clock::time_point shrunk_at_{};
    Clock::time_point next_second_{};
    Clock::time_point next_timer_{};
    Clock::time_point last_made_{};
    double rtt_s_ = 0.05;
    double rtt_variation_s_ = 0.2; ///< at first nothing is known: no repeats before most of a second
    std::array<Sent, 8192> sent_at_{};
    std::vector<std::uint8_t> scratch_;
    std::deque<Slot> ready_;         ///< prepared, not yet in flight
    std::vector<std::uint8_t> work_; ///< a slot's records while they are being sealed
    std::vector<std::vector<std::uint8_t>> prepared_;
    std::size_t next_prepared_ = 0;
};

} // namespace undercroft::load
