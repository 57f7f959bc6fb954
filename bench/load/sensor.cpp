// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "bench/load/sensor.hpp"

#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace undercroft::load {
namespace {

using namespace std::chrono_literals;

constexpr auto timer_interval = 5ms;
constexpr auto partial_slot_age = 20ms;

std::uint64_t all_of(unsigned fragments)
{
    return fragments == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << fragments) - 1;
}

double seconds(Clock::duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

} // namespace

std::uint64_t LoadSensor::Slot::missing() const
{
    return all_of(fragments) & ~received;
}

LoadSensor::LoadSensor(SensorOptions const& options, Clock::time_point start)
    : options_{options}, start_{start},
      seal_{wire::derive_key(options.key, wire::Direction::from_sensor, options.boot.machine, options.boot.boot, 0),
            collector::DatagramCipher::Use::seal},
      scratch_(wire::max_slot_bytes + wire::max_fragments * (wire::datagram_overhead + sizeof(wire::DataBody)))
{
    connect();
}

LoadSensor::~LoadSensor()
{
    ::close(fd_);
}

void LoadSensor::connect()
{
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr const*>(&options_.to), sizeof(options_.to)) != 0)
        throw std::runtime_error{std::string{"cannot reach the collector: "} + std::strerror(errno)};
    int const bytes = 4 << 20;
    static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)));
}

bool LoadSensor::poll(Clock::time_point now)
{
    bool const heard = receive_acks(now);
    if (now >= next_second_) {
        next_second_ = now + 1s;
        if (!hello_acknowledged_)
            send_hello();
        send_status();
    }
    if (now >= next_timer_) {
        next_timer_ = now + timer_interval;
        repeat_late(now);
    }
    bool const made = make_and_send(now);
    return drain(now) || made || heard;
}

bool LoadSensor::done(Clock::time_point now) const
{
    bool const made =
        ended_ || (options_.records != 0 && result_.records >= options_.records) || now - start_ >= options_.most;
    return made && flights_.empty() && ready_.empty();
}

std::uint64_t LoadSensor::records_left(Clock::time_point now) const
{
    return ready_.empty() ? due_records(now) : ~std::uint64_t{0};
}

std::uint64_t LoadSensor::due_records(Clock::time_point now) const
{
    if (ended_ || now - start_ >= options_.most)
        return 0;
    std::uint64_t due = options_.records == 0 ? ~std::uint64_t{0} : options_.records;
    if (options_.records_per_second > 0)
        due = std::min(due, static_cast<std::uint64_t>(seconds(now - start_) * options_.records_per_second) + 1);
    return due > result_.records ? due - result_.records : 0;
}

bool LoadSensor::make_and_send(Clock::time_point now)
{
    if (options_.blast && options_.prepared_slots != 0) {
        send_prepared();
        return true;
    }
    bool made = false;
    for (std::uint64_t due = records_left(now); due > 0; due = records_left(now)) {
        std::uint64_t const number = oldest_ + flights_.size();
        if (limit_ != 0 && number >= limit_) {
            ++result_.limited_polls;
            break;
        }
        if (!options_.blast && static_cast<double>(flights_.size()) >= std::max(window_, 1.0))
            break;
        std::size_t const record_bytes = options_.rules.shape == generator::Shape::headers ? 32 : 4128;
        bool const last = options_.records != 0 && due == options_.records - result_.records;
        if (!last && due < wire::max_slot_bytes / record_bytes && now - last_made_ < partial_slot_age)
            break;
        last_made_ = now;
        Slot& slot = next_flight(due);
        slot.first_sent = slot.last_sent = now;
        slot.to_send = all_of(slot.fragments);
        made = true;
        if (options_.blast) {
            send_fragments(number, slot, slot.to_send, now);
            free_up_to(number + 1, now);
        }
        if (options_.blast || number % 16 == 15)
            break; // the others' turn
    }
    return made;
}

LoadSensor::Slot& LoadSensor::next_flight(std::uint64_t due)
{
    if (!ready_.empty()) {
        flights_.push_back(std::move(ready_.front()));
        ready_.pop_front();
        return flights_.back();
    }
    Slot& slot = flights_.emplace_back();
    if (!spare_.empty()) {
        slot.data = std::move(spare_.back());
        spare_.pop_back();
    } else {
        slot.data.resize(wire::max_slot_bytes);
    }
    make_slot(slot, due);
    return slot;
}

/// Sends what is due at the pace of one window a round trip, a little faster so that the window stays the limit.
bool LoadSensor::drain(Clock::time_point now)
{
    double const pace = 1.25 * window_ * wire::max_slot_bytes / std::max(rtt_s_, 0.001);
    double const elapsed = std::min(seconds(now - refilled_at_), 0.01);
    refilled_at_ = now;
    tokens_ = std::min(tokens_ + pace * elapsed, std::max(pace * 0.002, 1.0 * wire::max_slot_bytes));
    bool sent = false;
    for (std::size_t i = 0; i < flights_.size() && tokens_ > 0; ++i) {
        Slot& slot = flights_[i];
        std::uint64_t chosen = 0;
        for (std::uint64_t rest = slot.to_send; rest != 0 && tokens_ > 0; rest &= rest - 1) {
            chosen |= rest & -rest;
            tokens_ -= static_cast<double>(options_.fragment_bytes);
        }
        if (chosen == 0)
            continue;
        result_.resent += static_cast<std::uint64_t>(std::popcount(chosen & slot.sent_once));
        send_fragments(oldest_ + i, slot, chosen, now);
        slot.to_send &= ~chosen;
        slot.sent_once |= chosen;
        sent = true;
    }
    return sent;
}

void LoadSensor::make_slot(Slot& slot, std::uint64_t limit)
{
    if (options_.gap_every_slots != 0 && result_.slots % options_.gap_every_slots == options_.gap_every_slots - 1) {
        std::uint64_t const missing = 1 + result_.slots % 5;
        result_.gaps.push_back({result_.next_sequence, missing});
        result_.next_sequence += missing;
    }
    slot.first_sequence = result_.next_sequence;
    for (; limit > 0; --limit) {
        wire::Record const record = generator::record_at(options_.rules, result_.next_sequence);
        std::uint32_t const content = record.content_bytes.get();
        if (slot.bytes + sizeof(record) + content > slot.data.size())
            break;
        std::memcpy(slot.data.data() + slot.bytes, &record, sizeof(record));
        slot.bytes += sizeof(record);
        if (content != 0)
            generator::write_content(options_.rules, result_.next_sequence,
                                     std::span{slot.data}.subspan(slot.bytes, content));
        slot.bytes += content;
        ++slot.count;
        ++result_.next_sequence;
        ++result_.records;
    }
    slot.fragments = static_cast<std::uint16_t>((slot.bytes + options_.fragment_bytes - 1) / options_.fragment_bytes);
    ++result_.slots;
}

/// Full fragments of a slot are equally long, so the kernel cuts them from one buffer.
void LoadSensor::send_fragments(std::uint64_t number, Slot& slot, std::uint64_t fragments, Clock::time_point now)
{
    std::size_t const segment = wire::datagram_overhead + sizeof(wire::DataBody) + options_.fragment_bytes;
    std::size_t const most = 65000 / segment * segment;
    slot.last_sent = now;
    if (!slot.sealed.empty()) {
        send_sealed(slot, fragments);
        note_sent(slot.last_counter, now);
        return;
    }
    std::size_t used = 0;
    for (unsigned index = 0; index < slot.fragments; ++index) {
        if ((fragments >> index & 1) == 0)
            continue;
        std::size_t const bytes =
            std::min<std::size_t>(options_.fragment_bytes, slot.bytes - index * options_.fragment_bytes);
        put_fragment(number, slot, index, scratch_.data() + used, bytes);
        used += wire::datagram_overhead + sizeof(wire::DataBody) + bytes;
        if (used >= most) {
            transmit(scratch_.data(), used, segment);
            used = 0;
        }
    }
    if (used != 0)
        transmit(scratch_.data(), used, segment);
    slot.last_counter = counter_;
    note_sent(counter_, now);
}

void LoadSensor::put_fragment(std::uint64_t number, Slot const& slot, unsigned index, std::uint8_t* at,
                              std::size_t bytes)
{
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(wire::Type::data);
    header.stream = static_cast<std::uint16_t>(wire::Stream::storage);
    std::ranges::copy(options_.boot.machine, header.machine_id);
    std::ranges::copy(options_.boot.boot, header.boot_id);
    header.counter = ++counter_;
    header.first_sequence = slot.first_sequence;
    header.count = slot.count;
    header.sealed_bytes = static_cast<std::uint32_t>(sizeof(wire::DataBody) + bytes);
    wire::DataBody body{};
    body.slot = number;
    body.oldest_slot = oldest_;
    body.slot_bytes = slot.bytes;
    body.offset = static_cast<std::uint32_t>(index * options_.fragment_bytes);
    body.index = static_cast<std::uint16_t>(index);
    body.fragments = slot.fragments;
    std::memcpy(at, &header, sizeof(header));
    std::memcpy(at + sizeof(header), &body, sizeof(body));
    std::memcpy(at + sizeof(header) + sizeof(body), slot.data.data() + index * options_.fragment_bytes, bytes);
    seal_.seal({at, wire::datagram_overhead + sizeof(body) + bytes});
    ++result_.datagrams;
    result_.bytes += wire::datagram_overhead + sizeof(body) + bytes;
}

bool LoadSensor::transmit(std::uint8_t const* bytes, std::size_t count, std::size_t segment)
{
    iovec vector{const_cast<std::uint8_t*>(bytes), count};
    alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(std::uint16_t))> control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (count > segment) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_UDP;
        head->cmsg_type = UDP_SEGMENT;
        head->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
        auto const size = static_cast<std::uint16_t>(segment);
        std::memcpy(CMSG_DATA(head), &size, sizeof(size));
    }
    // A refusal (buffer full, nobody listening yet) is a loss on the way: the timer sends it again.
    if (::sendmsg(fd_, &message, 0) >= 0)
        return true;
    ++result_.send_refused;
    return false;
}

} // namespace undercroft::load
