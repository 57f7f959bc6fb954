// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/ingest/slot.hpp"

#include <array>
#include <limits>

#include "wire/memory.hpp"

namespace undercroft::collector {
namespace {

enum StreamBit : std::uint8_t { in_storage = 1, in_memory = 2 };

/// In which streams a kind may be; looked up for every record that arrives.
constexpr std::array<std::uint8_t, 256> make_streams_of_kind()
{
    using enum wire::Kind;
    std::array<std::uint8_t, 256> streams{};
    for (wire::Kind const kind : {storage_read, storage_write, storage_flush, storage_trim, capture_off, capture_on})
        streams[static_cast<std::size_t>(kind)] = in_storage;
    for (wire::Kind const kind :
         {memory_read, memory_write, memory_read_write, memory_execute, memory_page, memory_mode, memory_region,
          memory_armed, memory_disarmed, memory_sweep_begin, memory_sweep_end, memory_scanned})
        streams[static_cast<std::size_t>(kind)] = in_memory;
    return streams;
}
constexpr auto streams_of_kind = make_streams_of_kind();

bool record_valid(wire::Record const& record, std::uint8_t stream_bit)
{
    std::uint32_t const content = record.content_bytes.get();
    bool const has_content = (record.flags.get() & wire::record_flag::has_content) != 0;
    if (has_content != (content != 0) || (has_content && content != record.length.get()))
        return false;
    if (content > wire::content_block_bytes || (streams_of_kind[record.kind.get()] & stream_bit) == 0)
        return false;
    if (record.kind.get() == static_cast<std::uint8_t>(wire::Kind::memory_mode) &&
        content != sizeof(wire::MemoryRequest))
        return false;
    // The store's time column is a signed 64-bit number of nanoseconds.
    return record.time_utc_ns.get() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
}

} // namespace

bool slot_adds_up(std::span<std::uint8_t const> bytes, std::uint32_t count, wire::Stream stream)
{
    std::uint8_t const stream_bit = stream == wire::Stream::storage  ? in_storage
                                    : stream == wire::Stream::memory ? in_memory
                                                                     : std::uint8_t{0};
    SlotReader reader{bytes};
    std::uint32_t seen = 0;
    while (auto const item = reader.next()) {
        if (!record_valid(item->record, stream_bit))
            return false;
        ++seen;
    }
    return reader.at_end() && seen == count;
}

} // namespace undercroft::collector
