// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One stream: fragments in any order in, whole slots in slot order out.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "collector/ingest/counters.hpp"
#include "collector/ingest/decode.hpp"
#include "collector/ingest/position.hpp"
#include "collector/ingest/slot.hpp"

namespace undercroft::collector {

/// A slot that is not whole, or whole and not yet its turn.
struct WaitingSlot {
    std::uint64_t first_sequence{};
    std::uint32_t count{};
    std::uint16_t fragments{};
    std::uint64_t newest_counter{};
    std::uint64_t received{};                               ///< bit i = fragment i
    std::array<std::uint16_t, wire::max_fragments> start{}; ///< offset of fragment i, valid when received
    std::array<std::uint16_t, wire::max_fragments> length{};
    std::vector<std::uint8_t> bytes;
};
using WaitingSlots = std::map<std::uint64_t, WaitingSlot>;

/// Memory of waiting slots, all streams together; shared by the threads that receive. Freed slots are kept for the
/// next, so that a steady stream allocates nothing.
class MemoryBudget {
public:
    explicit MemoryBudget(std::size_t limit_bytes) : limit{limit_bytes} {}

    std::size_t const limit;
    std::atomic<std::size_t> used{0};

    /// A spare slot, with its counts of the last use; empty when there is none.
    [[nodiscard]] WaitingSlots::node_type take_spare();
    void give_back(WaitingSlots::node_type slot);

private:
    static constexpr std::size_t max_spares = 512;
    std::mutex mutex_;
    std::vector<WaitingSlots::node_type> spares_;
};

struct AssemblyLimits {
    std::uint64_t window_slots = 1024;                ///< slots ahead of the first missing one that are kept
    std::size_t stream_bytes = std::size_t{32} << 20; ///< memory of one stream's waiting slots
};

/// Takes whole slots in order. False: not now, offer it again later.
class SlotSink {
public:
    [[nodiscard]] virtual bool append(BootKey const& boot, Slot const& slot) = 0;

protected:
    ~SlotSink() = default;
};

class StreamAssembly {
public:
    StreamAssembly(BootKey const& boot, wire::Stream stream, StreamPosition start, AssemblyLimits limits,
                   MemoryBudget& budget, Counters& counters);
    ~StreamAssembly();
    StreamAssembly(StreamAssembly const&) = delete;
    StreamAssembly& operator=(StreamAssembly const&) = delete;

    void accept(DataFragment const& data);
    /// Hands over what is complete and in order.
    void deliver(SlotSink& sink, std::uint64_t received_utc_ns);
    /// What was handed over so far is being made durable ...
    void commit_started() { committing_slot_ = next_slot_; }
    /// ... and is durable now.
    void commit_finished();

    /// All slots below are durable or will never come.
    [[nodiscard]] std::uint64_t durable_slot() const { return durable_slot_; }
    [[nodiscard]] StreamPosition position() const { return position_; }
    /// The first slot that is still missing.
    [[nodiscard]] std::uint64_t next_slot() const { return next_slot_; }
    [[nodiscard]] wire::Stream stream() const { return stream_; }
    [[nodiscard]] std::size_t waiting_bytes() const { return bytes_; }
    /// Fragment bitmaps of slots that have arrived in whole or in part but are not durable, lowest first.
    [[nodiscard]] std::vector<wire::AckEntry> ack_entries() const;
    /// How many slots past the durable ones may come before memory is short; the sensor is told.
    [[nodiscard]] std::uint64_t slots_welcome() const;

private:
    using Partial = WaitingSlot;
    using Partials = WaitingSlots;

    [[nodiscard]] Partial* find_or_make(DataFragment const& data);
    [[nodiscard]] static bool same_shape(Partial const& partial, DataFragment const& data);
    [[nodiscard]] static bool fits_neighbours(Partial const& partial, DataFragment const& data);
    [[nodiscard]] static bool complete(Partial const& partial);
    [[nodiscard]] bool room_for(DataFragment const& data);
    [[nodiscard]] Partial& make(DataFragment const& data);
    void erase(Partials::iterator partial);
    [[nodiscard]] bool hand_over(SlotSink& sink, Partials::iterator partial, std::uint64_t received_utc_ns);
    void skip_to(std::uint64_t slot);
    void count_gap(Gap const& gap);

    BootKey boot_;
    wire::Stream stream_;
    AssemblyLimits limits_;
    MemoryBudget& budget_;
    Counters& counters_;
    StreamPosition position_;
    std::uint64_t next_slot_;
    std::uint64_t durable_slot_;
    std::uint64_t committing_slot_;
    std::deque<wire::AckEntry> handed_over_; ///< not durable yet
    std::uint64_t oldest_slot_ = 0;          ///< highest "nothing below will be resent" heard from the sensor
    std::size_t bytes_ = 0;
    Partials partials_;
};

} // namespace undercroft::collector
