// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/tests/generator/sender.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "wire/counters.hpp"

namespace undercroft::generator {
namespace {

constexpr std::size_t burst_datagrams = 64;

template <typename T>
void append(std::vector<std::uint8_t>& bytes, T const& value)
{
    auto const* const first = reinterpret_cast<std::uint8_t const*>(&value);
    bytes.insert(bytes.end(), first, first + sizeof(value));
}

} // namespace

Sender::Sender(SenderOptions options) : options_{std::move(options)}
{
    send_key_ =
        wire::derive_key(options_.key, wire::Direction::from_sensor, options_.boot.machine, options_.boot.boot, 0);
    connect();
}

Sender::~Sender()
{
    ::close(fd_);
}

void Sender::connect()
{
    std::size_t const colon = options_.to.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos ||
        ::inet_pton(AF_INET, options_.to.substr(0, colon).c_str(), &address.sin_addr) != 1)
        throw std::runtime_error{"--to wants ADDRESS:PORT"};
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(options_.to.substr(colon + 1))));
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) != 0)
        throw std::runtime_error{std::string{"cannot reach "} + options_.to + ": " + std::strerror(errno)};
}

SenderResult Sender::run()
{
    start_ = Clock::now();
    auto next_second = start_;
    auto last_progress = start_;
    std::uint64_t last_oldest = 0;
    for (;;) {
        auto const now = Clock::now();
        while (may_make(now))
            make_slot();
        if (result_.records >= options_.records && window_.empty()) {
            result_.complete = true;
            break;
        }
        if (now >= next_second) {
            next_second = now + std::chrono::seconds{1};
            if (!hello_acknowledged_)
                send_hello();
            send_status();
        }
        send_due(now);
        receive_acks();
        if (oldest_slot_ != last_oldest) {
            last_oldest = oldest_slot_;
            last_progress = now;
        }
        if (now - last_progress > options_.give_up)
            break;
    }
    send_status();
    result_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    return result_;
}

bool Sender::may_make(Clock::time_point now) const
{
    if (result_.records >= options_.records || window_.size() >= options_.window_slots)
        return false;
    double const elapsed = std::chrono::duration<double>(now - start_).count();
    return options_.records_per_second == 0 ||
           static_cast<double>(result_.records) <= elapsed * static_cast<double>(options_.records_per_second);
}

void Sender::make_slot()
{
    if (options_.gap_every_slots != 0 && result_.slots % options_.gap_every_slots == options_.gap_every_slots - 1) {
        std::uint64_t const missing = 1 + result_.slots % 5;
        result_.gaps.push_back({result_.next_sequence, missing});
        result_.next_sequence += missing;
    }
    Slot slot;
    slot.first_sequence = result_.next_sequence;
    while (result_.records < options_.records) {
        wire::Record const record = record_at(options_.rules, result_.next_sequence);
        std::size_t const content = record.content_bytes.get();
        if (slot.bytes.size() + sizeof(record) + content > options_.slot_bytes)
            break;
        append(slot.bytes, record);
        slot.bytes.resize(slot.bytes.size() + content);
        write_content(options_.rules, result_.next_sequence, std::span{slot.bytes}.last(content));
        ++slot.count;
        ++result_.next_sequence;
        ++result_.records;
    }
    slot.fragments =
        static_cast<std::uint16_t>((slot.bytes.size() + options_.fragment_bytes - 1) / options_.fragment_bytes);
    slot.sent.resize(slot.fragments);
    window_.push_back(std::move(slot));
    ++result_.slots;
}

void Sender::send_due(Clock::time_point now)
{
    std::size_t sent = 0;
    for (std::size_t i = 0; i < window_.size(); ++i) {
        Slot& slot = window_[i];
        for (std::uint16_t index = 0; index < slot.fragments; ++index) {
            if ((slot.acknowledged >> index & 1) != 0 || now - slot.sent[index] < options_.retransmit)
                continue;
            if (!send_fragment(oldest_slot_ + i, slot, index, now) || ++sent == burst_datagrams)
                return;
        }
    }
}

bool Sender::send_fragment(std::uint64_t number, Slot& slot, std::uint16_t index, Clock::time_point now)
{
    std::size_t const offset = index * options_.fragment_bytes;
    std::size_t const length = std::min(options_.fragment_bytes, slot.bytes.size() - offset);
    wire::DataBody body{};
    body.slot = number;
    body.oldest_slot = oldest_slot_;
    body.slot_bytes = static_cast<std::uint32_t>(slot.bytes.size());
    body.offset = static_cast<std::uint32_t>(offset);
    body.index = index;
    body.fragments = slot.fragments;
    std::vector<std::uint8_t> plaintext;
    append(plaintext, body);
    auto const begin = slot.bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    plaintext.insert(plaintext.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
    if (!send_sealed(wire::Type::data, wire::Stream::storage, slot.first_sequence, slot.count, plaintext))
        return false;
    if (slot.sent[index] != Clock::time_point{})
        ++result_.resent;
    slot.sent[index] = now;
    return true;
}

bool Sender::send_sealed(wire::Type type, wire::Stream stream, std::uint64_t first_sequence, std::uint32_t count,
                         std::span<std::uint8_t const> plaintext)
{
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(type);
    header.stream = static_cast<std::uint16_t>(stream);
    std::ranges::copy(options_.boot.machine, header.machine_id);
    std::ranges::copy(options_.boot.boot, header.boot_id);
    header.counter = ++counter_;
    header.first_sequence = first_sequence;
    header.count = count;
    header.sealed_bytes = static_cast<std::uint32_t>(plaintext.size());
    std::vector<std::uint8_t> datagram(wire::datagram_overhead + plaintext.size());
    std::memcpy(datagram.data(), &header, sizeof(header));
    std::ranges::copy(plaintext, datagram.begin() + sizeof(header));
    wire::seal(send_key_, datagram);
    // Nobody listening yet is reported for the next call; the datagram counts as lost on the way.
    if (::send(fd_, datagram.data(), datagram.size(), 0) < 0 && errno != ECONNREFUSED)
        return false;
    ++result_.datagrams;
    result_.bytes += datagram.size();
    return true;
}

void Sender::send_hello()
{
    wire::HelloBody body{};
    body.time_utc_ns = options_.rules.base_time_utc_ns;
    body.start_utc_ns = options_.rules.base_time_utc_ns;
    std::memcpy(body.sensor_version, "generator", 9);
    std::memcpy(body.cpu_backend, "none", 4);
    body.disks = std::uint16_t{1};
    body.capture_mode = static_cast<std::uint16_t>(options_.rules.content ? 1 : 0);
    body.policy = static_cast<std::uint16_t>(options_.gap_every_slots == 0 ? 1 : 0);
    wire::DiskInfo disk{};
    disk.source = std::uint16_t{0x100};
    disk.logical_sector_bytes = std::uint16_t{512};
    disk.capacity_512 = std::uint64_t{1} << 32;
    std::memcpy(disk.model, "GENERATED", 9);
    std::memcpy(disk.serial, "G0001", 5);
    std::vector<std::uint8_t> plaintext;
    append(plaintext, body);
    append(plaintext, disk);
    static_cast<void>(send_sealed(wire::Type::hello, wire::Stream::control, 0, 0, plaintext));
}

void Sender::send_status()
{
    wire::StatusBody body{};
    body.time_utc_ns = options_.rules.base_time_utc_ns;
    body.next_sequence = result_.next_sequence;
    body.next_slot = result_.slots;
    std::vector<std::uint8_t> plaintext;
    append(plaintext, body);
    std::array<std::pair<wire::CounterId, std::uint64_t>, 3> const counters{
        {{wire::CounterId::records_made, result_.next_sequence},
         {wire::CounterId::records_dropped, result_.next_sequence - result_.records},
         {wire::CounterId::datagrams_sent, result_.datagrams}}};
    for (auto const& [id, value] : counters) {
        wire::Counter counter{};
        counter.id = static_cast<std::uint16_t>(id);
        counter.value = value;
        append(plaintext, counter);
    }
    static_cast<void>(send_sealed(wire::Type::status, wire::Stream::control, 0, counters.size(), plaintext));
}

void Sender::receive_acks()
{
    pollfd descriptor{fd_, POLLIN, 0};
    if (::poll(&descriptor, 1, 1) <= 0)
        return;
    std::array<std::uint8_t, 4096> buffer;
    for (;;) {
        ssize_t const length = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (length < 0)
            return;
        take_ack(std::span{buffer}.first(static_cast<std::size_t>(length)));
    }
}

void Sender::take_ack(std::span<std::uint8_t> datagram)
{
    wire::DatagramHeader header;
    ++result_.acks_refused;
    if (datagram.size() < wire::datagram_overhead + sizeof(wire::AckBody))
        return;
    std::memcpy(&header, datagram.data(), sizeof(header));
    auto const key = wire::derive_key(options_.key, wire::Direction::from_collector, options_.boot.machine,
                                      options_.boot.boot, header.instance.get());
    if (!wire::open(key, datagram) || header.type.get() != static_cast<std::uint8_t>(wire::Type::ack))
        return;
    if (std::ranges::find(former_instances_, header.instance.get()) != former_instances_.end())
        return;
    if (header.instance.get() != collector_instance_) {
        former_instances_.push_back(collector_instance_);
        collector_instance_ = header.instance.get();
        collector_counter_ = 0;
        for (Slot& slot : window_)
            slot.acknowledged = 0;
    }
    if (header.counter.get() <= collector_counter_)
        return; // overtaken by a newer one
    collector_counter_ = header.counter.get();
    --result_.acks_refused;
    ++result_.acks;
    if (header.stream.get() == static_cast<std::uint16_t>(wire::Stream::control)) {
        hello_acknowledged_ = true;
        return;
    }
    wire::AckBody body;
    auto rest = datagram.subspan(sizeof(header));
    std::memcpy(&body, rest.data(), sizeof(body));
    while (!window_.empty() && oldest_slot_ < body.next_slot.get()) {
        window_.pop_front();
        ++oldest_slot_;
    }
    rest = rest.subspan(sizeof(body), header.count.get() * sizeof(wire::AckEntry));
    for (; !rest.empty(); rest = rest.subspan(sizeof(wire::AckEntry))) {
        wire::AckEntry entry;
        std::memcpy(&entry, rest.data(), sizeof(entry));
        if (entry.slot.get() >= oldest_slot_ && entry.slot.get() - oldest_slot_ < window_.size())
            window_[entry.slot.get() - oldest_slot_].acknowledged |= entry.received.get();
    }
}

} // namespace undercroft::generator
