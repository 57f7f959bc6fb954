// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/observe/slot_buffer.hpp"

#include <algorithm>

#include "base/mul_div.hpp"

namespace undercroft::observe {
namespace {

constexpr std::size_t descriptor_share = 64; // one 64th of the memory: mean slots of about 3 KiB before they run out

std::uint64_t to_ns(std::uint64_t ticks, std::uint64_t hz)
{
    return mul_div(ticks, 1'000'000'000, hz);
}

} // namespace

SlotBuffer::SlotBuffer(std::span<std::byte> memory, Options const& options, core::Clock const& clock,
                       core::Counters& counters, RoomMaker* room_maker)
    : descriptors_{reinterpret_cast<Descriptor*>(memory.data())},
      descriptor_count_{memory.size() / descriptor_share / sizeof(Descriptor)},
      arena_{memory.data() + descriptor_count_ * sizeof(Descriptor)},
      arena_bytes_{memory.size() - descriptor_count_ * sizeof(Descriptor)},
      max_slot_bytes_{std::clamp(options.max_slot_bytes, min_slot_bytes, wire::max_slot_bytes)},
      policy_{room_maker == nullptr ? core::Policy::drop : options.policy},
      send_delay_ticks_{clock.tsc_hz() / 1000 * options.send_delay_ms}, clock_{&clock}, counters_{&counters},
      names_{options.counters}, room_maker_{room_maker}
{
    for (std::uint64_t i = 0; i < descriptor_count_; ++i)
        descriptors_[i] = {};
}

void SlotBuffer::begin_request()
{
    while (!request_lock_.try_lock()) {
        // Another CPU's command waits for room: this CPU can help to make it.
        if (waiting_for_room_.load(std::memory_order_relaxed))
            room_maker_->make_room();
        else
            __builtin_ia32_pause();
    }
    request_waited_ = false;
}

void SlotBuffer::end_request()
{
    request_lock_.unlock();
}

bool SlotBuffer::fits_open(std::uint32_t bytes) const
{
    Descriptor const& open = descriptor(closed_end_.load(std::memory_order_relaxed));
    return open.bytes + bytes <= max_slot_bytes_ && head_ % arena_bytes_ + bytes <= arena_bytes_ &&
           head_ % arena_bytes_ != 0 && head_ - tail_ + bytes <= arena_bytes_;
}

std::byte* SlotBuffer::reserve(std::uint32_t bytes)
{
    if (open_records_.load(std::memory_order_relaxed) != 0) {
        if (fits_open(bytes))
            return arena_ + head_ % arena_bytes_;
        close_locked();
    }
    std::uint64_t const number = closed_end_.load(std::memory_order_relaxed);
    std::uint64_t const oldest = oldest_.load(std::memory_order_relaxed);
    if (number - oldest >= descriptor_count_)
        return nullptr;
    std::uint64_t start = head_;
    if (start % arena_bytes_ + bytes > arena_bytes_)
        start += arena_bytes_ - start % arena_bytes_;            // the piece at the end is too short: leave it out
    std::uint64_t const tail = number == oldest ? start : tail_; // nothing held: all of it is free
    if (start - tail + bytes > arena_bytes_)
        return nullptr;
    head_ = start;
    tail_ = tail;
    descriptor(number) = {next_sequence_.load(std::memory_order_relaxed), start, 0, 0, SlotState::empty};
    return arena_ + start % arena_bytes_;
}

bool SlotBuffer::try_append(wire::Record const& record, std::byte const* content, std::uint32_t bytes)
{
    core::SpinGuard const guard{state_lock_};
    std::byte* const at = reserve(bytes);
    if (at == nullptr)
        return false;
    __builtin_memcpy(at, &record, sizeof(record));
    if (bytes > sizeof(record))
        __builtin_memcpy(at + sizeof(record), content, bytes - sizeof(record));
    Descriptor& open = descriptor(closed_end_.load(std::memory_order_relaxed));
    if (open.records == 0)
        opened_at_ = clock_->tsc();
    open.bytes += bytes;
    ++open.records;
    head_ += bytes;
    open_records_.store(open.records, std::memory_order_release);
    next_sequence_.store(next_sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    return true;
}

void SlotBuffer::drop()
{
    core::SpinGuard const guard{state_lock_};
    if (open_records_.load(std::memory_order_relaxed) != 0)
        close_locked(); // the records of a slot are consecutive: the next one starts a new slot
    next_sequence_.store(next_sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    counters_->add(names_.dropped);
}

bool SlotBuffer::append(wire::Record const& record, std::byte const* content)
{
    std::uint32_t const content_bytes = record.content_bytes.get();
    counters_->add(names_.made);
    if (content_bytes > wire::content_block_bytes) { // no slot could carry it
        drop();
        return false;
    }
    std::uint32_t const bytes = static_cast<std::uint32_t>(sizeof(record)) + content_bytes;
    if (!try_append(record, content, bytes)) {
        if (policy_ == core::Policy::drop) {
            drop();
            return false;
        }
        wait_for_room(record, content, bytes);
    }
    counters_->add(names_.content_bytes, content_bytes);
    return true;
}

void SlotBuffer::leave_out()
{
    counters_->add(names_.made);
    drop();
}

void SlotBuffer::wait_for_room(wire::Record const& record, std::byte const* content, std::uint32_t bytes)
{
    Tsc const start = clock_->tsc();
    if (!request_waited_)
        counters_->add(wire::CounterId::hold_waits);
    request_waited_ = true;
    waiting_for_room_.store(true, std::memory_order_relaxed);
    do
        room_maker_->make_room();
    while (!try_append(record, content, bytes));
    waiting_for_room_.store(false, std::memory_order_relaxed);
    counters_->add(wire::CounterId::hold_wait_ns, to_ns(clock_->tsc().value - start.value, clock_->tsc_hz()));
}

void SlotBuffer::close_locked()
{
    std::uint64_t const number = closed_end_.load(std::memory_order_relaxed);
    descriptor(number).state = SlotState::buffered;
    open_records_.store(0, std::memory_order_relaxed);
    closed_end_.store(number + 1, std::memory_order_release);
    counters_->add(names_.slots_closed);
}

void SlotBuffer::close_open(Tsc now, bool force)
{
    if (!has_open_slot())
        return;
    core::SpinGuard const guard{state_lock_};
    if (open_records_.load(std::memory_order_relaxed) == 0)
        return;
    // Signed: the record may be younger than the caller's `now`.
    auto const waited = static_cast<std::int64_t>(now.value - opened_at_.value);
    if (force || waited >= static_cast<std::int64_t>(send_delay_ticks_))
        close_locked();
}

bool SlotBuffer::view(std::uint64_t number, SlotView& into) const
{
    core::SpinGuard const guard{state_lock_};
    if (number < oldest_.load(std::memory_order_relaxed) || number >= closed_end_.load(std::memory_order_relaxed))
        return false;
    Descriptor const& slot = descriptor(number);
    into = {number, slot.first_sequence, slot.records, slot.bytes, slot.state, arena_ + slot.position % arena_bytes_};
    return true;
}

std::uint64_t SlotBuffer::used_bytes() const
{
    core::SpinGuard const guard{state_lock_};
    return head_ - tail_;
}

void SlotBuffer::mark_transferred(std::uint64_t number)
{
    core::SpinGuard const guard{state_lock_};
    if (number >= oldest_.load(std::memory_order_relaxed) && number < closed_end_.load(std::memory_order_relaxed))
        descriptor(number).state = SlotState::transferred;
}

bool SlotBuffer::free_below(std::uint64_t next_slot)
{
    core::SpinGuard const guard{state_lock_};
    std::uint64_t const oldest = oldest_.load(std::memory_order_relaxed);
    std::uint64_t const closed = closed_end_.load(std::memory_order_relaxed);
    if (next_slot <= oldest)
        return true;
    // Slots are sent in order, so the last one tells for all of them.
    if (next_slot > closed || descriptor(next_slot - 1).state != SlotState::transferred)
        return false;
    for (std::uint64_t number = oldest; number < next_slot; ++number)
        descriptor(number).state = SlotState::empty;
    bool const one_follows = next_slot < closed || open_records_.load(std::memory_order_relaxed) != 0;
    tail_ = one_follows ? descriptor(next_slot).position : head_;
    oldest_.store(next_slot, std::memory_order_release);
    counters_->add(names_.slots_freed, next_slot - oldest);
    return true;
}

} // namespace undercroft::observe
