// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/ingest/assembly.hpp"

#include <algorithm>
#include <cstring>

namespace undercroft::collector {
namespace {

/// What one waiting slot costs besides its bytes.
constexpr std::size_t slot_overhead_bytes = 512;

constexpr std::uint64_t bit(unsigned index)
{
    return std::uint64_t{1} << index;
}

} // namespace

WaitingSlots::node_type MemoryBudget::take_spare()
{
    std::lock_guard const guard{mutex_};
    if (spares_.empty())
        return {};
    auto slot = std::move(spares_.back());
    spares_.pop_back();
    return slot;
}

void MemoryBudget::give_back(WaitingSlots::node_type slot)
{
    std::lock_guard const guard{mutex_};
    if (spares_.size() < max_spares)
        spares_.push_back(std::move(slot));
}

StreamAssembly::StreamAssembly(BootKey const& boot, wire::Stream stream, StreamPosition start, AssemblyLimits limits,
                               MemoryBudget& budget, Counters& counters)
    : boot_{boot}, stream_{stream}, limits_{limits}, budget_{budget}, counters_{counters}, position_{start},
      next_slot_{start.next_slot}, durable_slot_{start.next_slot}, committing_slot_{start.next_slot}
{
}

StreamAssembly::~StreamAssembly()
{
    budget_.used -= bytes_;
}

void StreamAssembly::accept(DataFragment const& data)
{
    oldest_slot_ = std::max(oldest_slot_, data.oldest_slot);
    if (data.slot < next_slot_) {
        counters_.add(Counter::fragments_duplicate);
        return;
    }
    // Slots that the sensor no longer has do not count: the window starts at the first one that can still come.
    if (data.slot - std::max(next_slot_, oldest_slot_) >= limits_.window_slots) {
        counters_.add(Counter::data_beyond_window);
        return;
    }
    Partial* const partial = find_or_make(data);
    if (partial == nullptr)
        return;
    if ((partial->received & bit(data.index)) != 0) {
        counters_.add(Counter::fragments_duplicate);
        return;
    }
    if (!fits_neighbours(*partial, data)) {
        counters_.add(Counter::data_inconsistent);
        return;
    }
    partial->received |= bit(data.index);
    partial->newest_counter = std::max(partial->newest_counter, data.counter);
    partial->start[data.index] = static_cast<std::uint16_t>(data.offset);
    partial->length[data.index] = static_cast<std::uint16_t>(data.bytes.size());
    std::memcpy(partial->bytes.data() + data.offset, data.bytes.data(), data.bytes.size());
}

/// The waiting slot that the fragment belongs to. A sensor may cut a slot anew (its MTU
/// changed): then the newer cut wins and the slot starts over.
StreamAssembly::Partial* StreamAssembly::find_or_make(DataFragment const& data)
{
    auto found = partials_.find(data.slot);
    if (found != partials_.end()) {
        if (same_shape(found->second, data))
            return &found->second;
        if (complete(found->second) || data.counter <= found->second.newest_counter) {
            counters_.add(Counter::data_inconsistent);
            return nullptr;
        }
        erase(found);
    }
    if (!room_for(data)) {
        counters_.add(Counter::data_without_memory);
        return nullptr;
    }
    return &make(data);
}

StreamAssembly::Partial& StreamAssembly::make(DataFragment const& data)
{
    auto node = budget_.take_spare();
    if (node.empty()) {
        partials_.try_emplace(data.slot);
        node = partials_.extract(data.slot);
    }
    node.key() = data.slot;
    Partial& made = partials_.insert(std::move(node)).position->second;
    made.first_sequence = data.first_sequence;
    made.count = data.count;
    made.fragments = data.fragments;
    made.newest_counter = data.counter;
    made.received = 0;
    made.bytes.resize(data.slot_bytes);
    bytes_ += data.slot_bytes + slot_overhead_bytes;
    budget_.used += data.slot_bytes + slot_overhead_bytes;
    return made;
}

bool StreamAssembly::same_shape(Partial const& partial, DataFragment const& data)
{
    return partial.first_sequence == data.first_sequence && partial.count == data.count &&
           partial.fragments == data.fragments && partial.bytes.size() == data.slot_bytes;
}

/// Touching its neighbours exactly, in every pair, means that a full set covers the slot without holes or overlaps.
bool StreamAssembly::fits_neighbours(Partial const& partial, DataFragment const& data)
{
    unsigned const index = data.index;
    if (index > 0 && (partial.received & bit(index - 1)) != 0 &&
        partial.start[index - 1] + std::uint32_t{partial.length[index - 1]} != data.offset)
        return false;
    if (index + 1 < partial.fragments && (partial.received & bit(index + 1)) != 0 &&
        data.offset + data.bytes.size() != partial.start[index + 1])
        return false;
    return true;
}

bool StreamAssembly::complete(Partial const& partial)
{
    return static_cast<unsigned>(__builtin_popcountll(partial.received)) == partial.fragments;
}

/// The first missing slot always has room, so that a full memory can empty itself.
bool StreamAssembly::room_for(DataFragment const& data)
{
    if (data.slot == std::max(next_slot_, oldest_slot_))
        return true;
    std::size_t const cost = data.slot_bytes + slot_overhead_bytes;
    return bytes_ + cost <= limits_.stream_bytes && budget_.used + cost <= budget_.limit;
}

void StreamAssembly::erase(Partials::iterator partial)
{
    std::size_t const cost = partial->second.bytes.size() + slot_overhead_bytes;
    bytes_ -= cost;
    budget_.used -= cost;
    budget_.give_back(partials_.extract(partial));
}

void StreamAssembly::deliver(SlotSink& sink, std::uint64_t received_utc_ns)
{
    for (;;) {
        auto const first = partials_.begin();
        bool const waiting = first != partials_.end();
        if (waiting && first->first == next_slot_ && complete(first->second)) {
            if (!hand_over(sink, first, received_utc_ns))
                return;
        } else if (next_slot_ < oldest_slot_) {
            if (waiting && first->first == next_slot_)
                erase(first); // the missing fragments will not be sent any more
            auto const next = partials_.begin();
            skip_to(next == partials_.end() ? oldest_slot_
                                            : std::min(oldest_slot_, std::max(next->first, next_slot_ + 1)));
        } else {
            return;
        }
    }
}

void StreamAssembly::skip_to(std::uint64_t slot)
{
    counters_.add(Counter::slots_skipped, slot - next_slot_);
    next_slot_ = slot;
}

bool StreamAssembly::hand_over(SlotSink& sink, Partials::iterator partial, std::uint64_t received_utc_ns)
{
    Partial const& waiting = partial->second;
    StreamPosition after = position_;
    auto const gap = after.advance(partial->first, waiting.first_sequence, waiting.count);
    if (!gap) {
        counters_.add(Counter::slots_bad_sequence);
    } else {
        bool const adds_up = slot_adds_up(waiting.bytes, waiting.count, stream_);
        Slot slot{stream_, partial->first, waiting.first_sequence, waiting.count, received_utc_ns, waiting.bytes};
        if (!adds_up)
            slot.bytes = {};
        if (!sink.append(boot_, slot))
            return false;
        position_ = after;
        if (*gap)
            count_gap(**gap);
        if (adds_up) {
            counters_.add(Counter::slots_stored);
            counters_.add(Counter::records_stored, waiting.count);
            counters_.add(Counter::content_bytes_received, waiting.bytes.size() - waiting.count * sizeof(wire::Record));
        } else {
            counters_.add(Counter::slots_refused);
            count_gap(Gap{waiting.first_sequence, waiting.count, true});
        }
    }
    handed_over_.push_back({next_slot_, waiting.received});
    erase(partial);
    ++next_slot_;
    return true;
}

void StreamAssembly::count_gap(Gap const& gap)
{
    counters_.add(Counter::gaps);
    counters_.add(gap.in_transit ? Counter::records_missing_in_transit : Counter::records_missing_at_sensor,
                  gap.missing);
}

void StreamAssembly::commit_finished()
{
    durable_slot_ = committing_slot_;
    while (!handed_over_.empty() && handed_over_.front().slot.get() < durable_slot_)
        handed_over_.pop_front();
}

std::uint64_t StreamAssembly::slots_welcome() const
{
    std::size_t const used = budget_.used;
    std::size_t const free = used < budget_.limit ? budget_.limit - used : 0;
    std::size_t const own = bytes_ < limits_.stream_bytes ? limits_.stream_bytes - bytes_ : 0;
    // No stream may count on more than an eighth of what is left for all.
    std::uint64_t const slots = std::min(free / 8, own) / (wire::max_slot_bytes + slot_overhead_bytes);
    return std::clamp<std::uint64_t>(slots, 1, limits_.window_slots);
}

std::vector<wire::AckEntry> StreamAssembly::ack_entries() const
{
    std::vector<wire::AckEntry> entries;
    for (wire::AckEntry const& entry : handed_over_) {
        if (entries.size() == wire::max_ack_entries)
            return entries;
        entries.push_back(entry);
    }
    for (auto const& [slot, partial] : partials_) {
        if (entries.size() == wire::max_ack_entries)
            break;
        entries.push_back({slot, partial.received});
    }
    return entries;
}

} // namespace undercroft::collector
