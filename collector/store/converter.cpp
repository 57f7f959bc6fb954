// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/converter.hpp"

#include <spdlog/spdlog.h>

#include "collector/store/memory_request.hpp"

namespace undercroft::collector {

void Converter::convert(std::uint64_t segment, bool may_be_torn)
{
    fs::path const path = segment_path(store_ / "journal", segment);
    ContentFile content{store_, segment, known_};
    tally_ = {};
    Streams streams;
    JournalReader reader{path};
    if (may_be_torn)
        reader.sync(); // what is read now must still be there when this is done again after a power cut
    JournalEntry entry;
    while (reader.next(entry))
        add(entry, streams, content);
    content.publish();
    totals_.content_blocks_stored += content.new_blocks();
    for (auto& [key, stream] : streams) {
        if (stream.file->empty())
            continue;
        stream.file->publish();
        published_[key] = stream.position;
        ++totals_.record_files;
    }
    totals_.rows += tally_.rows;
    totals_.gap_records += tally_.gap_records;
    totals_.content_blocks_known += tally_.content_blocks_known;
    dispose_of(path, reader.torn_bytes(), may_be_torn);
}

void Converter::add(JournalEntry const& entry, Streams& streams, ContentFile& content)
{
    StreamKey const key{entry.boot, entry.slot.stream};
    auto found = streams.find(key);
    if (found == streams.end()) {
        auto file = std::make_unique<RecordFile>(stream_folder(store_, key), key.stream);
        found = streams.emplace(key, Stream{position_of(key), std::move(file)}).first;
    }
    Stream& stream = found->second;
    Slot const& slot = entry.slot;
    if (slot.number < stream.position.next_slot)
        return; // published before a crash or a failed attempt
    auto const gap = stream.position.advance(slot.number, slot.first_sequence, slot.count);
    if (!gap) {
        spdlog::error("journal: slot {} of boot {} has sequence numbers that are stored already; left out", slot.number,
                      to_hex(entry.boot.boot));
        ++totals_.errors;
        return;
    }
    auto const first = SlotReader{slot.bytes}.next();
    auto const time = static_cast<std::int64_t>(first ? first->record.time_utc_ns.get() : slot.received_utc_ns);
    if (*gap) {
        stream.file->add_gap(**gap, time, slot.number);
        tally_.gap_records += (*gap)->missing;
    }
    if (slot.bytes.empty()) {
        stream.file->add_gap({slot.first_sequence, slot.count, true}, time, slot.number);
        tally_.gap_records += slot.count;
    }
    add_rows(slot, *stream.file, content);
}

void Converter::add_rows(Slot const& slot, RecordFile& file, ContentFile& content)
{
    SlotReader reader{slot.bytes};
    std::uint64_t sequence = slot.first_sequence;
    while (auto const item = reader.next()) {
        RecordRow row = row_of(item->record, sequence++, slot.number);
        if (item->record.kind.get() == static_cast<std::uint8_t>(wire::Kind::memory_mode)) {
            row.request = memory_request_json(item->content);
        } else if (!item->content.empty()) {
            std::uint64_t const before = content.new_blocks();
            row.content = content.add(item->content);
            if (content.new_blocks() == before)
                ++tally_.content_blocks_known;
        }
        file.add(row);
        ++tally_.rows;
    }
}

StreamPosition Converter::position_of(StreamKey const& key)
{
    auto found = published_.find(key);
    if (found == published_.end())
        found = published_.emplace(key, position_from_files(stream_folder(store_, key))).first;
    return found->second;
}

void Converter::dispose_of(fs::path const& path, std::uint64_t torn_bytes, bool may_be_torn)
{
    if (torn_bytes == 0) {
        remove_durably(path);
        return;
    }
    if (may_be_torn) {
        spdlog::info("journal: {} ends in {} bytes of an interrupted write; the sensor sends them again",
                     path.filename().string(), torn_bytes);
        remove_durably(path);
        return;
    }
    // A segment that was closed and synced must be whole: this is a damaged disk, not a crash.
    ++totals_.damaged_segments;
    fs::path const kept = path.string() + ".damaged";
    spdlog::error("journal: {} bytes of {} cannot be read back: records may be missing; kept as {}", torn_bytes,
                  path.filename().string(), kept.string());
    publish(path, kept);
}

} // namespace undercroft::collector
