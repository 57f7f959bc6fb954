// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/sender.hpp"

#include "base/mul_div.hpp"

namespace undercroft::net {

using wire::CounterId;

Sender::Sender(SenderOptions const& options, DatagramPort& port, core::Clock const& clock, core::Counters& counters)
    : port_{&port}, clock_{&clock}, counters_{&counters}, machine_id_{options.machine_id}, boot_id_{options.boot_id},
      pre_shared_{options.key},
      send_key_{wire::derive_key(options.key, wire::Direction::from_sensor, options.machine_id, options.boot_id, 0)},
      mtu_{options.mtu}, datagrams_per_poll_{options.datagrams_per_poll},
      budget_ticks_{clock.tsc_hz() / 1'000'000 * options.poll_budget_us}, tick_second_{clock.tsc_hz()},
      started_{clock.tsc()}, rtt_{clock.tsc_hz()}
{
}

bool Sender::add_stream(wire::Stream stream, observe::SlotBuffer& buffer)
{
    if (stream_count_ == max_streams || buffer.max_slot_bytes() > max_slot_bytes(mtu_))
        return false;
    deliveries_[stream_count_++].attach(stream, buffer, fragment_bytes(mtu_), tick_second_);
    return true;
}

std::atomic<std::uint64_t> const& Sender::sending_ticks(wire::Stream stream) const
{
    for (std::size_t i = 0; i < stream_count_; ++i)
        if (deliveries_[i].stream() == stream)
            return sending_ticks_[i];
    return sending_ticks_.back();
}

PollResult Sender::poll(Tsc now)
{
    if (!lock_.try_lock())
        return {.busy = true};
    PollResult const result = poll_locked(now);
    lock_.unlock();
    return result;
}

bool Sender::drain(Tsc deadline)
{
    core::SpinGuard const guard{lock_};
    for (;;) {
        Tsc const now = clock_->tsc();
        flush();
        if (!poll_locked(now).work_left())
            return true;
        if (now >= deadline)
            return false;
    }
}

PollResult Sender::poll_locked(Tsc now)
{
    Tsc const begun = clock_->tsc();
    PerStream sent{};
    port_->poll(now);
    receive_all(now);
    if (task_ != nullptr)
        task_->poll(now);
    bool const flush = flush_.exchange(false, std::memory_order_relaxed);
    for (std::size_t i = 0; i < stream_count_; ++i) {
        deliveries_[i].run_timers(now, rtt_);
        // With a backlog the open slot goes on filling: it could not leave now anyway.
        if (flush || deliveries_[i].idle())
            deliveries_[i].buffer().close_open(now, flush);
    }
    if (port_->ready()) {
        send_reports(now);
        send_data(now, sent);
    }
    port_->kick();
    share_cost(clock_->tsc().value - begun.value, sent);
    PollResult result;
    for (std::size_t i = 0; i < stream_count_; ++i) {
        result.unsent |= deliveries_[i].unsent() || deliveries_[i].buffer().has_open_slot();
        result.unacknowledged |= deliveries_[i].unacknowledged();
    }
    return result;
}

/// Telling the card to send costs more than writing datagrams, and answers come later: a poll's whole cost is the
/// streams' by their numbers of datagrams, and that of one without any by those of the last one with some.
void Sender::share_cost(std::uint64_t ticks, PerStream const& sent)
{
    std::uint64_t all = 0, last = 0;
    for (std::size_t i = 0; i < stream_count_; ++i) {
        all += sent[i];
        last += sent_last_[i];
    }
    if (all != 0) {
        sent_last_ = sent;
        last = all;
    }
    for (std::size_t i = 0; last != 0 && i < stream_count_; ++i)
        sending_ticks_[i].fetch_add(mul_div(ticks, sent_last_[i], last), std::memory_order_relaxed);
}

/// Streams take turns: of eight datagrams seven are storage's as long as it has any, so that its records never wait
/// behind megabytes of memory, and memory never waits for ever.
void Sender::send_data(Tsc now, PerStream& sent)
{
    constexpr std::uint32_t storage_share = 7, other_share = 1;
    std::uint32_t left = datagrams_per_poll_;
    for (std::uint32_t sent_in_round = 1; sent_in_round != 0 && left != 0;) {
        sent_in_round = 0;
        for (std::size_t i = 0; i < stream_count_ && left != 0; ++i) {
            bool const storage = deliveries_[i].stream() == wire::Stream::storage;
            std::uint32_t now_sent = 0;
            bool const more =
                send_some(deliveries_[i], std::min(left, storage ? storage_share : other_share), now_sent, now);
            sent[i] += now_sent;
            if (!more)
                return;
            left -= now_sent;
            sent_in_round += now_sent;
        }
    }
}

/// False: the time is over, or the card takes no more.
bool Sender::send_some(Delivery& delivery, std::uint32_t most, std::uint32_t& sent, Tsc now)
{
    Fragment fragment;
    for (sent = 0; sent < most && delivery.next(now, fragment); ++sent) {
        Tsc const at = clock_->tsc();
        if (at.value > now.value && at.value - now.value > budget_ticks_)
            return false;
        if (!send_fragment(delivery, fragment, at))
            return false;
    }
    return true;
}

void Sender::serve_command(CommandTarget& target)
{
    if (!commands_.waiting())
        return;
    std::optional<Command> command;
    {
        core::SpinGuard const guard{lock_};
        command = commands_.take();
    }
    if (!command)
        return;
    CommandBox::States states{};
    wire::ControlResult const result = target.carry_out(*command, states);
    core::SpinGuard const guard{lock_};
    commands_.answer(result, states);
    counters_->add(CounterId::commands_accepted);
}

bool Sender::send_fragment(Delivery& delivery, Fragment const& fragment, Tsc at)
{
    std::uint8_t* const body = port_->buffer().data() + sizeof(wire::DatagramHeader);
    wire::DataBody data{};
    data.slot = fragment.slot.number;
    data.oldest_slot = delivery.buffer().oldest();
    data.slot_bytes = fragment.slot.bytes;
    data.offset = fragment.offset;
    data.index = static_cast<std::uint16_t>(fragment.index);
    data.fragments = static_cast<std::uint16_t>(fragment.fragments);
    __builtin_memcpy(body, &data, sizeof(data));
    __builtin_memcpy(body + sizeof(data), fragment.slot.data + fragment.offset, fragment.bytes);
    if (!send_sealed(wire::Type::data, delivery.stream(), fragment.slot.first_sequence, fragment.slot.records,
                     sizeof(data) + fragment.bytes, at))
        return false;
    if (fragment.again)
        counters_->add(CounterId::datagrams_resent);
    delivery.sent(fragment, counter_, at);
    return true;
}

bool Sender::send_sealed(wire::Type type, wire::Stream stream, std::uint64_t first_sequence, std::uint32_t count,
                         std::size_t body_bytes, Tsc at)
{
    // A counter is never used twice, also when the datagram is refused: it is the nonce.
    ++counter_;
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(type);
    header.stream = static_cast<std::uint16_t>(stream);
    __builtin_memcpy(header.machine_id, machine_id_.data(), machine_id_.size());
    __builtin_memcpy(header.boot_id, boot_id_.data(), boot_id_.size());
    header.counter = counter_;
    header.first_sequence = first_sequence;
    header.count = count;
    header.sealed_bytes = static_cast<std::uint32_t>(body_bytes);
    std::size_t const bytes = wire::datagram_overhead + body_bytes;
    auto const datagram = port_->buffer().first(bytes);
    __builtin_memcpy(datagram.data(), &header, sizeof(header));
    wire::seal(send_key_, datagram);
    if (!port_->send(bytes)) {
        counters_->add(CounterId::datagrams_refused);
        return false;
    }
    sent_at_[counter_ % remembered_sends] = at;
    counters_->add(CounterId::datagrams_sent);
    return true;
}

} // namespace undercroft::net
