// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Datagrams that are sealed before the clock starts, so that a benchmark measures who receives them, not who makes
// them.
#include <algorithm>
#include <bit>
#include <cstring>

#include "bench/load/sensor.hpp"

namespace undercroft::load {

void LoadSensor::prepare()
{
    while (result_.records < options_.records) {
        Slot& slot = ready_.emplace_back();
        slot.data = std::move(work_);
        slot.data.resize(wire::max_slot_bytes);
        make_slot(slot, options_.records - result_.records);
        seal_all(ready_.size() - 1, slot);
        work_ = std::move(slot.data);
    }
    counter_ = 0;
}

void LoadSensor::seal_all(std::uint64_t number, Slot& slot)
{
    std::size_t const overhead = wire::datagram_overhead + sizeof(wire::DataBody);
    slot.sealed.resize(slot.bytes + slot.fragments * overhead);
    counter_ = number * counters_of_a_slot;
    for (unsigned index = 0; index < slot.fragments; ++index) {
        std::size_t const at = index * options_.fragment_bytes;
        put_fragment(number, slot, index, slot.sealed.data() + at + index * overhead,
                     std::min<std::size_t>(options_.fragment_bytes, slot.bytes - at));
    }
    slot.last_counter = counter_;
}

/// Repeated ones too go as they are: to the collector they are datagrams that the network has duplicated late.
void LoadSensor::send_sealed(Slot& slot, std::uint64_t fragments)
{
    std::size_t const segment = wire::datagram_overhead + sizeof(wire::DataBody) + options_.fragment_bytes;
    std::size_t const most = 65000 / segment * segment;
    while (fragments != 0) {
        auto const first = static_cast<unsigned>(std::countr_zero(fragments));
        auto const count = static_cast<unsigned>(std::countr_one(fragments >> first));
        std::size_t const end = std::min((first + count) * segment, slot.sealed.size());
        for (std::size_t at = first * segment; at < end; at += most)
            transmit(slot.sealed.data() + at, std::min(most, end - at), segment);
        fragments = first + count >= 64 ? 0 : fragments >> (first + count) << (first + count);
    }
    counter_ = std::max(counter_, slot.last_counter);
}

void LoadSensor::send_prepared()
{
    std::size_t const segment = wire::datagram_overhead + sizeof(wire::DataBody) + options_.fragment_bytes;
    while (prepared_.size() < options_.prepared_slots) {
        Slot slot;
        slot.data.resize(wire::max_slot_bytes);
        make_slot(slot, ~std::uint64_t{0});
        std::vector<std::uint8_t> bytes;
        for (unsigned index = 0; index < slot.fragments; ++index) {
            std::size_t const length =
                std::min<std::size_t>(options_.fragment_bytes, slot.bytes - index * options_.fragment_bytes);
            put_fragment(prepared_.size(), slot, index, scratch_.data(), length);
            bytes.insert(bytes.end(), scratch_.data(),
                         scratch_.data() + wire::datagram_overhead + sizeof(wire::DataBody) + length);
        }
        prepared_.push_back(std::move(bytes));
        result_.datagrams = result_.bytes = 0;
    }
    auto const& next = prepared_[next_prepared_++ % prepared_.size()];
    if (!transmit(next.data(), next.size(), segment))
        return;
    result_.bytes += next.size();
    result_.datagrams += (next.size() + segment - 1) / segment;
}

} // namespace undercroft::load
