// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What a sensor of the load hears and says besides data.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "bench/load/sensor.hpp"
#include "wire/counters.hpp"

namespace undercroft::load {
namespace {

constexpr double least_window = 0.25;
constexpr std::uint64_t reorder_margin = 8;

double seconds(Clock::duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

} // namespace

bool LoadSensor::receive_acks(Clock::time_point now)
{
    std::array<std::uint8_t, 2048> buffer;
    bool heard = false;
    for (;;) {
        ssize_t const length = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (length <= 0)
            return heard;
        take_ack(std::span{buffer}.first(static_cast<std::size_t>(length)), now);
        heard = true;
    }
}

void LoadSensor::take_ack(std::span<std::uint8_t> datagram, Clock::time_point now)
{
    ++result_.acks_refused;
    wire::DatagramHeader header;
    if (datagram.size() < wire::datagram_overhead + sizeof(wire::AckBody))
        return;
    std::memcpy(&header, datagram.data(), sizeof(header));
    std::uint64_t const instance = header.instance.get();
    if (header.sealed_bytes.get() != datagram.size() - wire::datagram_overhead ||
        header.type.get() != static_cast<std::uint8_t>(wire::Type::ack) ||
        header.sealed_bytes.get() != sizeof(wire::AckBody) + header.count.get() * sizeof(wire::AckEntry) ||
        std::ranges::find(retired_, instance) != retired_.end())
        return;
    if (open_ && instance == instance_) {
        if (!open_->open(datagram))
            return;
    } else {
        collector::DatagramCipher fresh{wire::derive_key(options_.key, wire::Direction::from_collector,
                                                         options_.boot.machine, options_.boot.boot, instance),
                                        collector::DatagramCipher::Use::open};
        if (!fresh.open(datagram))
            return;
        if (open_)
            retired_.push_back(instance_);
        open_ = std::move(fresh);
        instance_ = instance;
        ack_counter_ = 0;
        limit_ = 0;
        hello_acknowledged_ = false;
        for (Slot& slot : flights_)
            slot.received = 0;
    }
    if (header.counter.get() <= ack_counter_)
        return;
    ack_counter_ = header.counter.get();
    --result_.acks_refused;
    ++result_.acks;
    wire::AckBody body;
    auto const plain = datagram.subspan(sizeof(header), header.sealed_bytes.get());
    std::memcpy(&body, plain.data(), sizeof(body));
    if (header.stream.get() == static_cast<std::uint16_t>(wire::Stream::control)) {
        hello_acknowledged_ = true;
        return;
    }
    limit_ = header.first_sequence.get();
    free_up_to(body.next_slot.get(), now);
    take_entries(plain.subspan(sizeof(body)));
    std::uint64_t const highest = body.highest_counter.get();
    Sent& sent = sent_at_[place_of(highest)];
    if (highest != 0 && sent.counter == highest) {
        double const sample = seconds(now - sent.at);
        sent = {};
        rtt_variation_s_ += (std::abs(sample - rtt_s_) - rtt_variation_s_) / 4;
        rtt_s_ += (sample - rtt_s_) / 8;
    }
    repeat_lost(highest, now);
}

void LoadSensor::free_up_to(std::uint64_t next_slot, Clock::time_point now)
{
    while (!flights_.empty() && oldest_ < next_slot) {
        Slot& slot = flights_.front();
        result_.worst_ack_ms = std::max(result_.worst_ack_ms, seconds(now - slot.first_sent) * 1e3);
        if (!slot.data.empty())
            spare_.push_back(std::move(slot.data));
        flights_.pop_front();
        ++oldest_;
        ++result_.acknowledged_slots;
        window_ += lost_before_ && window_ > 1 ? 1 / window_ : 1;
        window_ = std::min(window_, static_cast<double>(options_.in_flight));
    }
}

void LoadSensor::take_entries(std::span<std::uint8_t const> entries)
{
    for (; !entries.empty(); entries = entries.subspan(sizeof(wire::AckEntry))) {
        wire::AckEntry entry;
        std::memcpy(&entry, entries.data(), sizeof(entry));
        std::uint64_t const slot = entry.slot.get();
        if (slot < oldest_ || slot - oldest_ >= flights_.size())
            continue;
        flights_[slot - oldest_].received |= entry.received.get();
        flights_[slot - oldest_].to_send &= ~entry.received.get();
    }
}

void LoadSensor::repeat_lost(std::uint64_t highest, Clock::time_point now)
{
    // Only slots within the ones that acknowledgements can speak of: of others nothing is known.
    for (std::size_t i = 0; i < std::min<std::size_t>(flights_.size(), wire::max_ack_entries); ++i) {
        Slot& slot = flights_[i];
        if (slot.to_send != 0 || slot.missing() == 0 || highest < slot.last_counter + reorder_margin ||
            seconds(now - slot.last_sent) < rtt_s_ * 1.25)
            continue;
        slot.to_send = slot.missing();
        shrink(window_ * 7 / 8, now);
    }
}

void LoadSensor::repeat_late(Clock::time_point now)
{
    double const timeout = std::clamp(rtt_s_ + 4 * rtt_variation_s_, 0.02, 2.0);
    for (std::size_t i = 0; i < flights_.size(); ++i) {
        Slot& slot = flights_[i];
        double const wait = std::min(timeout * static_cast<double>(1U << std::min(slot.attempts, 6U)), 2.0);
        if (slot.to_send != 0 || slot.missing() == 0 || seconds(now - slot.last_sent) < wait)
            continue;
        // After several timeouts the path is probably dead: one slot at a time asks whether it lives.
        if (slot.attempts >= 3 && i > 0)
            break;
        ++slot.attempts;
        ++result_.timeouts;
        slot.to_send = slot.missing();
        shrink(window_ / 2, now);
    }
}

/// At most once a round trip: the losses of one burst are one event.
void LoadSensor::shrink(double to, Clock::time_point now)
{
    if (seconds(now - shrunk_at_) < rtt_s_)
        return;
    shrunk_at_ = now;
    lost_before_ = true;
    window_ = std::max(to, least_window);
}

void LoadSensor::send_control(wire::Type type, std::uint32_t count, std::span<std::uint8_t const> plaintext)
{
    if (options_.prepare && counter_ % counters_of_a_slot == counters_of_a_slot - 1)
        return; // the next counter belongs to a prepared datagram
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(type);
    std::ranges::copy(options_.boot.machine, header.machine_id);
    std::ranges::copy(options_.boot.boot, header.boot_id);
    header.counter = ++counter_;
    header.count = count;
    header.sealed_bytes = static_cast<std::uint32_t>(plaintext.size());
    std::memcpy(scratch_.data(), &header, sizeof(header));
    std::ranges::copy(plaintext, scratch_.begin() + sizeof(header));
    std::span const datagram{scratch_.data(), wire::datagram_overhead + plaintext.size()};
    seal_.seal(datagram);
    transmit(datagram.data(), datagram.size(), datagram.size());
}

void LoadSensor::send_hello()
{
    wire::HelloBody body{};
    body.time_utc_ns = options_.rules.base_time_utc_ns;
    body.start_utc_ns = options_.rules.base_time_utc_ns;
    std::memcpy(body.sensor_version, "load", 4);
    std::memcpy(body.cpu_backend, "none", 4);
    body.capture_mode = static_cast<std::uint16_t>(options_.rules.shape == generator::Shape::headers ? 0 : 1);
    body.policy = static_cast<std::uint16_t>(options_.gap_every_slots == 0 ? 1 : 0);
    send_control(wire::Type::hello, 0, {reinterpret_cast<std::uint8_t const*>(&body), sizeof(body)});
}

void LoadSensor::send_status()
{
    struct {
        wire::StatusBody body;
        wire::Counter counter;
    } status{};
    status.body.time_utc_ns = options_.rules.base_time_utc_ns;
    status.body.next_sequence = result_.next_sequence;
    status.body.next_slot = result_.slots;
    status.counter.id = static_cast<std::uint16_t>(wire::CounterId::records_made);
    status.counter.value = result_.next_sequence;
    send_control(wire::Type::status, 1, {reinterpret_cast<std::uint8_t const*>(&status), sizeof(status)});
}

} // namespace undercroft::load
