// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/live/wire_rows.hpp"

namespace undercroft::analysis {
namespace {

RecordKind kind_of(wire::Kind kind)
{
    switch (kind) {
    case wire::Kind::storage_read:
        return RecordKind::read;
    case wire::Kind::storage_write:
        return RecordKind::write;
    case wire::Kind::storage_flush:
        return RecordKind::flush;
    case wire::Kind::storage_trim:
        return RecordKind::trim;
    case wire::Kind::capture_off:
        return RecordKind::capture_off;
    case wire::Kind::capture_on:
        return RecordKind::capture_on;
    case wire::Kind::memory_read:
        return RecordKind::memory_read;
    case wire::Kind::memory_write:
        return RecordKind::memory_write;
    case wire::Kind::memory_read_write:
        return RecordKind::memory_read_write;
    case wire::Kind::memory_execute:
        return RecordKind::memory_execute;
    case wire::Kind::memory_page:
        return RecordKind::memory_page;
    case wire::Kind::memory_mode:
        return RecordKind::memory_mode;
    case wire::Kind::memory_region:
        return RecordKind::memory_region;
    case wire::Kind::memory_armed:
        return RecordKind::memory_armed;
    case wire::Kind::memory_disarmed:
        return RecordKind::memory_disarmed;
    case wire::Kind::memory_sweep_begin:
        return RecordKind::memory_sweep_begin;
    case wire::Kind::memory_sweep_end:
        return RecordKind::memory_sweep_end;
    case wire::Kind::memory_scanned:
        return RecordKind::memory_scanned;
    }
    return RecordKind::flush; // no slot with another kind is ever journaled
}

} // namespace

RecordRow row_of(wire::Record const& record, std::uint64_t sequence)
{
    std::uint16_t const flags = record.flags.get();
    RecordRow row{.sequence = sequence,
                  .time_ns = static_cast<std::int64_t>(record.time_utc_ns.get()),
                  .address = record.address.get(),
                  .length = record.length.get(),
                  .source = record.source.get(),
                  .flags = static_cast<std::uint16_t>(flags & ~gap_in_transit),
                  .kind = kind_of(static_cast<wire::Kind>(record.kind.get())),
                  .page_class = record.page_class.get()};
    if ((flags & wire::record_flag::has_entropy) != 0)
        row.entropy = static_cast<float>(record.entropy.get()) / 65535.0F;
    return row;
}

} // namespace undercroft::analysis
