// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One stream's buffer: records become slots (wire/datagram.hpp), slots wait here until
// the collector has them. One writer at a time (begin_request ... end_request), one
// sender at a time; the two may run on different CPUs.
//
// A slot's bytes lie contiguous in a circular arena and its state goes
//   EMPTY (records are still being added) -> BUFFERED (closed, waits to be sent)
//   -> TRANSFERRED (sent, not yet acknowledged) -> EMPTY (acknowledged, its room is free again).
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/observe/record_sink.hpp"
#include "wire/datagram.hpp"

namespace undercroft::observe {

enum class SlotState : std::uint8_t { empty, buffered, transferred };

/// What the sender sees of a closed slot. `data` stays in place until free_below().
struct SlotView {
    std::uint64_t number = 0;
    std::uint64_t first_sequence = 0;
    std::uint32_t records = 0;
    std::uint32_t bytes = 0;
    SlotState state = SlotState::empty;
    std::byte const* data = nullptr;
};

/// Policy hold: what to do while a command waits for room. Called again and again, with
/// no lock of the buffer held that the sender needs, for as long as the buffer is full.
class RoomMaker {
public:
    virtual void make_room() = 0;

protected:
    ~RoomMaker() = default;
};

class SlotBuffer final : public RecordSink {
public:
    /// The least memory that works: two slots of the largest record and their descriptors.
    static constexpr std::size_t min_memory_bytes = std::size_t{64} * 1024;
    /// Records per slot are not limited, only its bytes; a slot holds at least one record with content.
    static constexpr std::uint32_t min_slot_bytes = sizeof(wire::Record) + wire::content_block_bytes;

    /// What this stream's figures are called.
    struct CounterNames {
        wire::CounterId made = wire::CounterId::records_made, dropped = wire::CounterId::records_dropped,
                        content_bytes = wire::CounterId::content_bytes_captured,
                        slots_closed = wire::CounterId::slots_closed, slots_freed = wire::CounterId::slots_freed;
    };
    struct Options {
        core::Policy policy = core::Policy::drop;
        std::uint32_t send_delay_ms = 10;                    ///< how long an open slot may wait for company
        std::uint32_t max_slot_bytes = wire::max_slot_bytes; ///< net::max_slot_bytes(mtu)
        CounterNames counters{};
    };

    /// `memory` holds descriptors (one 64th) and arena; at least min_memory_bytes, 64-byte aligned.
    /// `room_maker` may be null with policy drop.
    SlotBuffer(std::span<std::byte> memory, Options const& options, core::Clock const& clock, core::Counters& counters,
               RoomMaker* room_maker);
    SlotBuffer(SlotBuffer const&) = delete;
    SlotBuffer& operator=(SlotBuffer const&) = delete;

    // The writer's side.
    void begin_request() override;
    bool append(wire::Record const& record, std::byte const* content) override;
    void end_request() override;
    /// A record that the writer itself leaves out for want of room: as append() that found none. Within a request.
    void leave_out();

    // The sender's side.
    /// Lowest slot that is still held; equal to closed_end() when there is none.
    [[nodiscard]] std::uint64_t oldest() const { return oldest_.load(std::memory_order_acquire); }
    /// One past the last closed slot.
    [[nodiscard]] std::uint64_t closed_end() const { return closed_end_.load(std::memory_order_acquire); }
    /// Records made so far, dropped ones included.
    [[nodiscard]] std::uint64_t next_sequence() const { return next_sequence_.load(std::memory_order_acquire); }
    /// Bytes that records occupy or keep from being used, until they are acknowledged.
    [[nodiscard]] std::uint64_t used_bytes() const;
    [[nodiscard]] bool has_open_slot() const { return open_records_.load(std::memory_order_acquire) != 0; }
    /// A closed slot that is still held; false for any other number.
    [[nodiscard]] bool view(std::uint64_t number, SlotView& into) const;
    /// BUFFERED -> TRANSFERRED. Other states and numbers stay as they are.
    void mark_transferred(std::uint64_t number);
    /// TRANSFERRED -> EMPTY for all slots below `next_slot`, which must all be TRANSFERRED
    /// (false and nothing freed otherwise). Numbers already freed are no error.
    [[nodiscard]] bool free_below(std::uint64_t next_slot);
    /// Closes the open slot when it has waited for send_delay_ms, or at once with `force`.
    void close_open(Tsc now, bool force);
    [[nodiscard]] std::uint32_t max_slot_bytes() const { return max_slot_bytes_; }

private:
    struct Descriptor {
        std::uint64_t first_sequence;
        std::uint64_t position; ///< of its first byte, counted from the start of time
        std::uint32_t records;
        std::uint32_t bytes;
        SlotState state;
    };

    [[nodiscard]] Descriptor& descriptor(std::uint64_t number) const
    {
        return descriptors_[number % descriptor_count_];
    }
    /// Place for `bytes` more, opening a slot where needed; nullptr: no room. state_lock_ held.
    [[nodiscard]] std::byte* reserve(std::uint32_t bytes);
    [[nodiscard]] bool fits_open(std::uint32_t bytes) const;
    void close_locked();
    [[nodiscard]] bool try_append(wire::Record const& record, std::byte const* content, std::uint32_t bytes);
    void drop();
    void wait_for_room(wire::Record const& record, std::byte const* content, std::uint32_t bytes);

    Descriptor* descriptors_;
    std::uint64_t descriptor_count_;
    std::byte* arena_;
    std::uint64_t arena_bytes_;
    std::uint32_t max_slot_bytes_;
    core::Policy policy_;
    std::uint64_t send_delay_ticks_;
    core::Clock const* clock_;
    core::Counters* counters_;
    CounterNames names_;
    RoomMaker* room_maker_;

    core::Spinlock request_lock_;       ///< keeps one command's records together
    mutable core::Spinlock state_lock_; ///< short: descriptors, head and tail
    std::atomic<bool> waiting_for_room_{false};
    bool request_waited_ = false; ///< this command is counted in hold_waits already
    std::uint64_t head_ = 0;      ///< position of the next free byte
    std::uint64_t tail_ = 0;      ///< position of the oldest byte held
    Tsc opened_at_{};             ///< first record of the open slot
    std::atomic<std::uint32_t> open_records_{0};
    std::atomic<std::uint64_t> oldest_{0};
    std::atomic<std::uint64_t> closed_end_{0}; ///< also the number of the open slot
    std::atomic<std::uint64_t> next_sequence_{0};
};

} // namespace undercroft::observe
