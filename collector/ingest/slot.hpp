// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A whole slot: its identity, and the walk over its records.
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "wire/datagram.hpp"
#include "wire/record.hpp"

namespace undercroft::collector {

/// A slot as it goes into the journal.
struct Slot {
    wire::Stream stream{};
    std::uint64_t number{};
    std::uint64_t first_sequence{};
    std::uint32_t count{};
    std::uint64_t received_utc_ns{};
    /// Items back to back; empty for a slot that was refused because its records did not add up.
    std::span<std::uint8_t const> bytes;
};

struct SlotItem {
    wire::Record record;
    std::span<std::uint8_t const> content;
};

/// Walks the items of a slot. Never reads outside it, whatever the bytes say.
class SlotReader {
public:
    explicit SlotReader(std::span<std::uint8_t const> bytes) : rest_{bytes} {}
    /// The next item; nothing at the end or when the rest is not a whole item.
    [[nodiscard]] std::optional<SlotItem> next();
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

private:
    std::span<std::uint8_t const> rest_;
};

// Here because it runs once for each record, when it arrives and when it becomes a row.
inline std::optional<SlotItem> SlotReader::next()
{
    if (rest_.size() < sizeof(wire::Record))
        return std::nullopt;
    std::optional<SlotItem> item{std::in_place};
    std::memcpy(&item->record, rest_.data(), sizeof(wire::Record));
    auto const after = rest_.subspan(sizeof(wire::Record));
    std::size_t const content = item->record.content_bytes.get();
    if (content > after.size())
        return std::nullopt;
    item->content = after.first(content);
    rest_ = after.subspan(content);
    return item;
}

/// True when the slot holds exactly `count` valid records of the stream and nothing else.
[[nodiscard]] bool slot_adds_up(std::span<std::uint8_t const> bytes, std::uint32_t count,
                                wire::Stream stream = wire::Stream::storage);

} // namespace undercroft::collector
