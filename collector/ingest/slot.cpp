// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/ingest/slot.hpp"

#include <limits>

#include "wire/memory.hpp"

namespace undercroft::collector {
namespace {

bool kind_valid(std::uint8_t kind, wire::Stream stream)
{
    bool const storage = stream == wire::Stream::storage;
    switch (static_cast<wire::Kind>(kind)) {
    case wire::Kind::storage_read:
    case wire::Kind::storage_write:
    case wire::Kind::storage_flush:
    case wire::Kind::storage_trim:
    case wire::Kind::capture_off:
    case wire::Kind::capture_on:
        return storage;
    case wire::Kind::memory_read:
    case wire::Kind::memory_write:
    case wire::Kind::memory_read_write:
    case wire::Kind::memory_execute:
    case wire::Kind::memory_page:
    case wire::Kind::memory_mode:
    case wire::Kind::memory_region:
    case wire::Kind::memory_armed:
    case wire::Kind::memory_disarmed:
    case wire::Kind::memory_sweep_begin:
    case wire::Kind::memory_sweep_end:
    case wire::Kind::memory_scanned:
        return stream == wire::Stream::memory;
    default:
        return false;
    }
}

bool record_valid(wire::Record const& record, wire::Stream stream)
{
    std::uint32_t const content = record.content_bytes.get();
    bool const has_content = (record.flags.get() & wire::record_flag::has_content) != 0;
    if (has_content != (content != 0) || (has_content && content != record.length.get()))
        return false;
    if (content > wire::content_block_bytes || !kind_valid(record.kind.get(), stream))
        return false;
    if (record.kind.get() == static_cast<std::uint8_t>(wire::Kind::memory_mode) &&
        content != sizeof(wire::MemoryRequest))
        return false;
    // The store's time column is a signed 64-bit number of nanoseconds.
    return record.time_utc_ns.get() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
}

} // namespace

std::optional<SlotItem> SlotReader::next()
{
    if (rest_.size() < sizeof(wire::Record))
        return std::nullopt;
    SlotItem item;
    std::memcpy(&item.record, rest_.data(), sizeof(wire::Record));
    auto const after = rest_.subspan(sizeof(wire::Record));
    std::size_t const content = item.record.content_bytes.get();
    if (content > after.size())
        return std::nullopt;
    item.content = after.first(content);
    rest_ = after.subspan(content);
    return item;
}

bool slot_adds_up(std::span<std::uint8_t const> bytes, std::uint32_t count, wire::Stream stream)
{
    SlotReader reader{bytes};
    std::uint32_t seen = 0;
    while (auto const item = reader.next()) {
        if (!record_valid(item->record, stream))
            return false;
        ++seen;
    }
    return reader.at_end() && seen == count;
}

} // namespace undercroft::collector
