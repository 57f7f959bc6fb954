// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The sender's receiving half. Every byte here comes from the network.
#include "hypervisor/net/sender.hpp"

namespace undercroft::net {

using wire::CounterId;

namespace {
constexpr unsigned datagrams_per_receive = 16; // each may cost a key derivation: what an attacker gets per poll
}

void Sender::receive_all(Tsc now)
{
    for (unsigned i = 0; i < datagrams_per_receive; ++i) {
        auto const datagram = port_->receive();
        if (datagram.empty())
            return;
        on_datagram(datagram, now);
    }
}

bool Sender::fits(std::span<std::uint8_t const> datagram, wire::DatagramHeader& header) const
{
    if (datagram.size() < wire::datagram_overhead)
        return false;
    __builtin_memcpy(&header, datagram.data(), sizeof(header));
    if (header.magic.get() != wire::datagram_magic || header.version.get() != wire::datagram_version ||
        __builtin_memcmp(header.machine_id, machine_id_.data(), machine_id_.size()) != 0 ||
        __builtin_memcmp(header.boot_id, boot_id_.data(), boot_id_.size()) != 0 ||
        header.sealed_bytes.get() != datagram.size() - wire::datagram_overhead || is_retired(header.instance.get()))
        return false;
    if (header.type.get() == static_cast<std::uint8_t>(wire::Type::command))
        return known_instance_ && header.instance.get() == instance_; // only an acknowledgement makes one known
    return header.type.get() == static_cast<std::uint8_t>(wire::Type::ack) &&
           header.count.get() <= wire::max_ack_entries &&
           header.sealed_bytes.get() == sizeof(wire::AckBody) + header.count.get() * sizeof(wire::AckEntry);
}

void Sender::on_datagram(std::span<std::uint8_t> datagram, Tsc now)
{
    wire::DatagramHeader header;
    if (!fits(datagram, header)) {
        counters_->add(CounterId::acks_malformed);
        return;
    }
    if (!unseal(datagram, header)) {
        counters_->add(CounterId::acks_bad_seal);
        return;
    }
    auto const body = datagram.subspan(sizeof(header), header.sealed_bytes.get());
    if (header.type.get() == static_cast<std::uint8_t>(wire::Type::command))
        on_command(body);
    else
        on_ack(header, body, now);
}

void Sender::on_command(std::span<std::uint8_t const> body)
{
    if (!commands_.offer(body))
        counters_->add(CounterId::commands_refused);
}

bool Sender::unseal(std::span<std::uint8_t> datagram, wire::DatagramHeader const& header)
{
    std::uint64_t const instance = header.instance.get();
    if (known_instance_ && instance == instance_)
        return wire::open(receive_key_, datagram);
    wire::Key const key =
        wire::derive_key(pre_shared_, wire::Direction::from_collector, machine_id_, boot_id_, instance);
    if (!wire::open(key, datagram))
        return false;
    receive_key_ = key;
    switch_instance(instance);
    return true;
}

bool Sender::is_retired(std::uint64_t instance) const
{
    for (std::size_t i = 0; i < std::min(retired_count_, retired_instances); ++i)
        if (retired_[i] == instance)
            return true;
    return false;
}

void Sender::switch_instance(std::uint64_t instance)
{
    if (known_instance_) {
        // What an earlier instance said may be replayed; its word on fragments is void.
        retired_[retired_count_++ % retired_instances] = instance_;
        for (std::size_t i = 0; i < stream_count_; ++i)
            deliveries_[i].forget();
    }
    instance_ = instance;
    known_instance_ = true;
    hello_acknowledged_ = false;
    next_hello_ = Tsc{};
    highest_ack_counter_ = 0;
}

void Sender::on_ack(wire::DatagramHeader const& header, std::span<std::uint8_t const> body, Tsc now)
{
    wire::AckBody ack;
    __builtin_memcpy(&ack, body.data(), sizeof(ack));
    std::array<wire::AckEntry, wire::max_ack_entries> entries;
    std::size_t const count = header.count.get();
    __builtin_memcpy(entries.data(), body.data() + sizeof(ack), count * sizeof(wire::AckEntry));

    std::uint64_t const highest = ack.highest_counter.get();
    bool good = highest <= counter_;
    Delivery* delivery = nullptr;
    if (good && header.stream.get() == static_cast<std::uint16_t>(wire::Stream::control)) {
        if (hello_counter_ != 0 && highest >= hello_counter_)
            hello_acknowledged_ = true;
    } else if (good) {
        for (std::size_t i = 0; i < stream_count_; ++i)
            if (header.stream.get() == static_cast<std::uint16_t>(deliveries_[i].stream()))
                delivery = &deliveries_[i];
        good = delivery != nullptr &&
               delivery->acknowledge(ack.next_slot.get(), highest, std::span{entries}.first(count), now, rtt_);
    }
    if (!good) {
        counters_->add(CounterId::acks_malformed);
        return;
    }
    counters_->add(CounterId::acks_accepted);
    // A replayed acknowledgement is true but no sign of life.
    if (header.counter.get() <= highest_ack_counter_)
        return;
    highest_ack_counter_ = header.counter.get();
    last_ack_.store(now.value, std::memory_order_relaxed);
    take_rtt_sample(highest, now);
    for (std::size_t i = 0; i < stream_count_; ++i)
        deliveries_[i].heard(now);
    if (delivery != nullptr)
        delivery->set_limit(header.first_sequence.get());
}

void Sender::take_rtt_sample(std::uint64_t counter, Tsc now)
{
    if (counter == 0 || counter_ - counter >= remembered_sends)
        return;
    // Each datagram has its own counter, so repeats are never confused; one sample for each.
    Tsc& sent = sent_at_[counter % remembered_sends];
    if (sent.value != 0 && now > sent)
        rtt_.sample(now.value - sent.value);
    sent = Tsc{};
}

} // namespace undercroft::net
