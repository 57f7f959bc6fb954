// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/delivery.hpp"

#include <bit>

namespace undercroft::net {
namespace {

/// A fragment counts as lost when a datagram sent this much later has arrived and a round trip and a
/// quarter has gone by (the two thresholds of RFC 9002, 6.1); erring costs a needless repeat only.
constexpr std::uint64_t reorder_margin = 8;
constexpr std::uint32_t first_window = 8;
constexpr std::uint32_t min_window = 4;

/// Ticks from `since` to `now`; 0 when `since` is later (another CPU's reading).
std::uint64_t elapsed(Tsc since, Tsc now)
{
    return now.value > since.value ? now.value - since.value : 0;
}

std::uint64_t all_bits(std::uint32_t fragments)
{
    return fragments >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << fragments) - 1;
}

} // namespace

void Delivery::attach(wire::Stream stream, observe::SlotBuffer& buffer, std::uint32_t fragment_bytes,
                      std::uint64_t tsc_hz)
{
    buffer_ = &buffer;
    stream_ = stream;
    fragment_bytes_ = fragment_bytes;
    tick_5ms_ = tsc_hz / 200;
    tick_100ms_ = tsc_hz / 10;
    tick_1s_ = tsc_hz;
    next_slot_ = cursor_ = buffer.oldest();
}

std::uint64_t Delivery::window_end() const
{
    return std::min(next_slot_, buffer_->oldest() + window_);
}

bool Delivery::idle() const
{
    return !quiet_ && next_slot_ == buffer_->closed_end() && next_slot_ - buffer_->oldest() < window_;
}

bool Delivery::fill(std::uint64_t number, std::uint32_t index, Fragment& fragment)
{
    if (!view_valid_ || view_.number != number)
        view_valid_ = buffer_->view(number, view_);
    if (!view_valid_)
        return false;
    std::uint32_t const offset = index * fragment_bytes_;
    fragment = {view_,
                index,
                (view_.bytes + fragment_bytes_ - 1) / fragment_bytes_,
                offset,
                std::min(fragment_bytes_, view_.bytes - offset),
                ((flight(number).sent_once >> index) & 1) != 0};
    return true;
}

bool Delivery::admit(Tsc now)
{
    if (next_slot_ >= buffer_->closed_end() || next_slot_ - buffer_->oldest() >= window_ ||
        (limit_ != 0 && next_slot_ >= limit_))
        return false;
    view_valid_ = buffer_->view(next_slot_, view_);
    if (!view_valid_)
        return false;
    if (next_slot_ == buffer_->oldest())
        heard_at_ = std::max(heard_at_, now); // the wait for an answer begins now
    Flight& fresh = flight(next_slot_);
    fresh = {};
    fresh.all = all_bits((view_.bytes + fragment_bytes_ - 1) / fragment_bytes_);
    fresh.to_send = fresh.all;
    cursor_ = next_slot_++;
    pending_ = true;
    return true;
}

bool Delivery::next(Tsc now, Fragment& fragment)
{
    if (quiet_) {
        if (!probe_ || buffer_->oldest() >= next_slot_)
            return false;
        std::uint64_t const missing = flight(buffer_->oldest()).missing();
        return fill(buffer_->oldest(), missing == 0 ? 0U : static_cast<std::uint32_t>(std::countr_zero(missing)),
                    fragment);
    }
    cursor_ = std::max(cursor_, buffer_->oldest());
    for (std::uint64_t const end = window_end(); pending_ && cursor_ < end; ++cursor_)
        if (std::uint64_t const bits = flight(cursor_).to_send; bits != 0)
            return fill(cursor_, static_cast<std::uint32_t>(std::countr_zero(bits)), fragment);
    if (cursor_ >= next_slot_)
        pending_ = false;
    return !pending_ && admit(now) && fill(cursor_, 0, fragment);
}

void Delivery::sent(Fragment const& fragment, std::uint64_t counter, Tsc at)
{
    Flight& it = flight(fragment.slot.number);
    std::uint64_t const bit = std::uint64_t{1} << fragment.index;
    it.to_send &= ~bit;
    it.last_counter = counter;
    it.last_sent = at;
    probe_ = false;
    if (it.sent_once != it.all) {
        it.sent_once |= bit;
        if (it.sent_once == it.all)
            buffer_->mark_transferred(fragment.slot.number);
    }
}

void Delivery::repeat(std::uint64_t number, std::uint64_t fragments)
{
    flight(number).to_send |= fragments;
    cursor_ = pending_ ? std::min(cursor_, number) : number;
    pending_ = true;
}

void Delivery::check_timeout(std::uint64_t number, Tsc now, RttEstimator const& rtt)
{
    Flight& it = flight(number);
    if (it.to_send != 0)
        return;
    if (std::uint64_t const missing = it.missing(); missing != 0) {
        if (elapsed(it.last_sent, now) < rtt.timeout(it.attempts))
            return;
        ++it.attempts;
        repeat(number, missing);
        shrink_window(window_ / 2, now, rtt);
    } else if (number == buffer_->oldest()) {
        // All has arrived, but the word that it is durable has not: ask again.
        std::uint64_t const patience = std::max(4 * rtt.timeout(), tick_100ms_) << std::min(it.attempts, 4U);
        if (elapsed(heard_at_, now) < patience || elapsed(it.last_sent, now) < patience)
            return;
        ++it.attempts;
        repeat(number, 1);
    }
}

void Delivery::run_timers(Tsc now, RttEstimator const& rtt)
{
    if (now.value < next_timer_.value)
        return;
    next_timer_ = Tsc{now.value + tick_5ms_};
    std::uint64_t const oldest = buffer_->oldest();
    if (oldest >= next_slot_)
        return;
    if (!quiet_ && elapsed(heard_at_, now) > tick_1s_) {
        quiet_ = true;
        flight(oldest).attempts = 0;
    }
    if (quiet_) {
        Flight& it = flight(oldest);
        if (!probe_ && elapsed(it.last_sent, now) >= rtt.timeout(it.attempts)) {
            ++it.attempts;
            probe_ = true;
        }
        return;
    }
    for (std::uint64_t number = oldest, end = window_end(); number < end; ++number)
        check_timeout(number, now, rtt);
}

void Delivery::heard(Tsc now)
{
    heard_at_ = std::max(heard_at_, now);
    if (!quiet_)
        return;
    quiet_ = false;
    probe_ = false;
    window_ = std::min(window_, first_window);
    for (std::uint64_t number = buffer_->oldest(); number < next_slot_; ++number)
        flight(number).attempts = 0;
}

void Delivery::forget()
{
    for (std::uint64_t number = buffer_->oldest(); number < next_slot_; ++number) {
        Flight& it = flight(number);
        it.received = 0;
        it.attempts = 0;
        repeat(number, it.all);
    }
    window_ = std::min(window_, first_window);
    limit_ = 0;
}

bool Delivery::believable(std::uint64_t next_slot, std::span<wire::AckEntry const> entries)
{
    std::uint64_t const oldest = buffer_->oldest();
    if (next_slot > next_slot_)
        return false;
    for (wire::AckEntry const& entry : entries) {
        std::uint64_t const number = entry.slot.get();
        if (number >= next_slot_)
            return false;
        if (number >= oldest && (entry.received.get() & ~flight(number).sent_once) != 0)
            return false;
    }
    return true;
}

bool Delivery::acknowledge(std::uint64_t next_slot, std::uint64_t highest_counter,
                           std::span<wire::AckEntry const> entries, Tsc now, RttEstimator const& rtt)
{
    std::uint64_t const before = buffer_->oldest();
    if (!believable(next_slot, entries) || !buffer_->free_below(next_slot))
        return false;
    std::uint64_t const oldest = buffer_->oldest();
    window_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(max_window, window_ + (oldest - before)));
    for (wire::AckEntry const& entry : entries) {
        std::uint64_t const number = entry.slot.get();
        if (number < oldest)
            continue; // an older acknowledgement, overtaken by a newer one
        Flight& it = flight(number);
        it.received |= entry.received.get();
        it.to_send &= ~it.received;
    }
    repeat_lost(highest_counter, now, rtt);
    return true;
}

void Delivery::repeat_lost(std::uint64_t highest_counter, Tsc now, RttEstimator const& rtt)
{
    bool lost = false;
    for (std::uint64_t number = buffer_->oldest(), end = window_end(); number < end; ++number) {
        Flight& it = flight(number);
        if (it.to_send != 0 || it.missing() == 0 || highest_counter < it.last_counter + reorder_margin ||
            elapsed(it.last_sent, now) < rtt.smoothed() + rtt.smoothed() / 4)
            continue;
        repeat(number, it.missing());
        lost = true;
    }
    if (lost)
        shrink_window(window_ - window_ / 8, now, rtt);
}

void Delivery::shrink_window(std::uint32_t to, Tsc now, RttEstimator const& rtt)
{
    if (elapsed(reduced_at_, now) < rtt.smoothed())
        return; // once per round trip: all losses of one burst are one event
    reduced_at_ = now;
    window_ = std::max(min_window, to);
}

} // namespace undercroft::net
