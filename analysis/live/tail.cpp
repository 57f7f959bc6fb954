// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/live/tail.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "analysis/live/wire_rows.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/parquet_file.hpp"
#include "collector/store/memory_request.hpp"
#include "collector/store/record_file.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

/// A frame that looks wrong may still be in the middle of being written.
constexpr std::chrono::seconds patience{2};
/// More would mean that this reader is minutes behind.
constexpr std::size_t most_open_segments = 256;

/// Whether a closed file may hold rows of this time or later; its footer says.
bool may_reach(RecordFile const& record_file, std::int64_t from_ns)
{
    ParquetFile const file{record_file.path};
    for (int group = 0; group < file.row_groups(); ++group)
        if (auto const range = file.range_of(group, "time"); !range || range->second >= from_ns)
            return true;
    return false;
}

} // namespace

LiveTail::LiveTail(TailOptions options) : options_{std::move(options)}, journal_{options_.store / "journal"}
{
    if (!is_store(options_.store))
        throw Error{fmt::format("{} is not a store", options_.store.string())};
    open_segments(nullptr);
    if (options_.from_ns)
        find_closed(); // after the segments: what they held is either still there or in a file by now
    else
        skip_to_now();
}

LiveTail::~LiveTail() = default;

/// Opens what is new, so that it can be read after the collector has deleted it.
void LiveTail::open_segments(LiveSink* sink)
{
    std::error_code none;
    if (!fs::is_directory(journal_, none))
        return; // the collector has not begun yet
    for (std::uint64_t const number : collector::list_segments(journal_)) {
        if (number <= newest_ || segments_.size() >= most_open_segments)
            continue;
        try {
            auto reader = std::make_unique<collector::JournalReader>(collector::segment_path(journal_, number));
            segments_.push_back({.number = number, .reader = std::move(reader)});
        } catch (collector::StoreError const& error) {
            if (error.code() != ENOENT)
                throw Error{error.what()};
            ++counters_.missed_segments;
            if (sink != nullptr)
                sink->problem(fmt::format("journal segment {} was gone before it could be read", number));
        }
        newest_ = number;
    }
}

void LiveTail::skip_to_now()
{
    for (Segment& segment : segments_)
        while (segment.reader->next(entry_)) {
            Stream& stream = stream_of(entry_.boot, entry_.slot.stream);
            stream.position = {.next_slot = entry_.slot.number + 1,
                               .next_sequence = entry_.slot.first_sequence + entry_.slot.count};
        }
}

/// Which closed files to read, and where the journal goes on after them. The collector may close more meanwhile: what
/// comes after the position is left to the journal, whose segments are open by now.
void LiveTail::find_closed()
{
    std::vector<std::pair<wire::Stream, StreamName>> const names{{wire::Stream::storage, StreamName::storage},
                                                                 {wire::Stream::memory, StreamName::memory}};
    auto const key_of = [](Boot const& boot) {
        return collector::BootKey{.machine = collector::id_from_hex(boot.machine).value_or(collector::Id{}),
                                  .boot = collector::id_from_hex(boot.id).value_or(collector::Id{})};
    };
    for (Boot const& boot : list_boots(options_.store, options_.machine, ""))
        for (auto const& [wire_name, name] : names)
            try {
                collector::BootKey const key = key_of(boot);
                stream_of(key, wire_name).position =
                    collector::position_from_files(collector::stream_folder(options_.store, key, wire_name));
            } catch (collector::StoreError const& error) {
                throw Error{error.what()};
            }
    for (Boot const& boot : list_boots(options_.store, options_.machine, ""))
        for (auto const& [wire_name, name] : names) {
            Stream& stream = stream_of(key_of(boot), wire_name);
            for (RecordFile const& file : name == StreamName::memory ? boot.memory_files : boot.files)
                if (stream.wanted && stream.position && file.first_sequence < stream.position->next_sequence &&
                    may_reach(file, *options_.from_ns))
                    closed_.push_back({.stream = &stream, .before = stream.position->next_sequence, .file = file});
        }
}

std::size_t LiveTail::read_closed(LiveSink& sink)
{
    Closed const closed = std::move(closed_.front());
    closed_.pop_front();
    bool const memory = closed.stream->id.name == StreamName::memory;
    Columns const columns{.address = true,
                          .length = true,
                          .source = true,
                          .entropy = true,
                          .flags = true,
                          .page_class = memory,
                          .request = memory};
    RecordFilter filter;
    filter.from_ns = options_.from_ns;
    std::size_t rows = 0;
    scan_records({closed.file}, columns, filter, [&](RecordRow const& row) {
        if (row.sequence >= closed.before)
            return Visit::stop;
        rows += hand_out(*closed.stream, row, sink);
        return Visit::next;
    });
    return rows;
}

std::size_t LiveTail::poll(LiveSink& sink, std::size_t most_rows)
{
    open_segments(&sink);
    std::size_t rows = 0;
    while (!closed_.empty() && rows < most_rows)
        rows += read_closed(sink);
    while (rows < most_rows && !segments_.empty()) {
        rows += read_segment(sink, most_rows - rows);
        if (rows >= most_rows || !segment_ended(sink))
            break;
    }
    return rows;
}

std::size_t LiveTail::read_segment(LiveSink& sink, std::size_t most_rows)
{
    std::size_t rows = 0;
    while (rows < most_rows && segments_.front().reader->next(entry_)) {
        ++counters_.slots;
        segments_.front().damaged_since = {};
        rows += take(entry_, sink);
    }
    return rows;
}

/// Whether the segment is done with; then it is closed. `next` has just given nothing.
bool LiveTail::segment_ended(LiveSink& sink)
{
    Segment& segment = segments_.front();
    // A new segment is begun only after the last frame of the one before it is in place.
    bool const followed = segments_.size() > 1;
    if (segment.reader->is_damaged() && !segment.damage_told) {
        if (segment.damaged_since == Clock::time_point{})
            segment.damaged_since = Clock::now();
        if (Clock::now() - segment.damaged_since < patience)
            return false;
        ++counters_.damaged_segments;
        segment.damage_told = true;
        sink.problem(fmt::format("journal segment {} cannot be read beyond byte {}: records may be missing until the "
                                 "next segment",
                                 segment.number, segment.reader->offset()));
    }
    // Otherwise what is left of a followed segment is a frame that a crash cut short: the sensor sends it again.
    if (followed)
        segments_.pop_front();
    return followed;
}

LiveTail::Stream& LiveTail::stream_of(collector::BootKey const& boot, wire::Stream name)
{
    auto& stream = streams_[{boot, name}];
    if (!stream) {
        stream = std::make_unique<Stream>();
        stream->id = {.machine = collector::to_hex(boot.machine),
                      .boot = collector::to_hex(boot.boot),
                      .name = name == wire::Stream::memory ? StreamName::memory : StreamName::storage};
        stream->wanted = stream->id.machine.starts_with(options_.machine) &&
                         (name == wire::Stream::storage || (name == wire::Stream::memory && options_.memory));
    }
    return *stream;
}

/// As the collector makes rows of a slot (collector/store/converter.cpp).
std::size_t LiveTail::take(collector::JournalEntry const& entry, LiveSink& sink)
{
    Stream& stream = stream_of(entry.boot, entry.slot.stream);
    if (!stream.wanted)
        return 0;
    collector::Slot const& slot = entry.slot;
    if (!stream.position && options_.from_ns)
        stream.position = collector::StreamPosition{};
    if (!stream.position)
        stream.position = {.next_slot = slot.number, .next_sequence = slot.first_sequence};
    if (slot.number < stream.position->next_slot)
        return 0; // a closed file has it
    auto const gap = stream.position->advance(slot.number, slot.first_sequence, slot.count);
    if (!gap) {
        sink.problem(fmt::format("slot {} of boot {} has sequence numbers that were there already", slot.number,
                                 stream.id.boot));
        return 0;
    }
    auto const first = collector::SlotReader{slot.bytes}.next();
    auto const time = static_cast<std::int64_t>(first ? first->record.time_utc_ns.get() : slot.received_utc_ns);
    std::size_t rows = 0;
    if (*gap)
        rows += hand_out_gap(stream, **gap, time, sink);
    if (slot.bytes.empty())
        rows += hand_out_gap(stream, {slot.first_sequence, slot.count, true}, time, sink);
    collector::SlotReader reader{slot.bytes};
    std::uint64_t sequence = slot.first_sequence;
    while (auto const item = reader.next()) {
        RecordRow row = row_of(item->record, sequence++);
        std::string const request =
            row.kind == RecordKind::memory_mode ? collector::memory_request_json(item->content) : std::string{};
        row.request = request;
        rows += hand_out(stream, row, sink);
    }
    return rows;
}

std::size_t LiveTail::hand_out(Stream const& stream, RecordRow const& row, LiveSink& sink)
{
    if (options_.from_ns && row.time_ns < *options_.from_ns)
        return 0;
    counters_.lost_records += row.kind == RecordKind::gap ? row.length : 0;
    ++counters_.rows;
    sink.record(stream.id, row);
    return 1;
}

/// One row, or several for a gap longer than the length column can say.
std::size_t LiveTail::hand_out_gap(Stream const& stream, collector::Gap gap, std::int64_t time_ns, LiveSink& sink)
{
    std::size_t rows = 0;
    while (gap.missing != 0) {
        auto const missing =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(gap.missing, std::numeric_limits<std::uint32_t>::max()));
        rows += hand_out(stream,
                         {.sequence = gap.first_sequence,
                          .time_ns = time_ns,
                          .address = gap.first_sequence,
                          .length = missing,
                          .flags = gap.in_transit ? gap_in_transit : std::uint16_t{0},
                          .kind = RecordKind::gap},
                         sink);
        gap.first_sequence += missing;
        gap.missing -= missing;
    }
    return rows;
}

} // namespace undercroft::analysis
