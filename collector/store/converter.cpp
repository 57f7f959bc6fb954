// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/converter.hpp"

#include <thread>

#include <fmt/format.h>

#include "collector/log/log.hpp"
#include "collector/store/memory_request.hpp"

namespace undercroft::collector {
namespace {

/// 0 when compaction was faster.
std::uint64_t size_of(fs::path const& path)
{
    std::error_code gone;
    std::uint64_t const bytes = fs::file_size(path, gone);
    return gone ? 0 : bytes;
}

} // namespace

void Converter::convert(std::uint64_t segment, bool may_be_torn)
{
    fs::path const path = segment_path(store_ / "journal", segment);
    ContentFile content{store_, segment, known_};
    std::vector<Pass> passes(jobs_);
    std::vector<std::thread> helpers;
    for (unsigned job = 1; job < jobs_; ++job)
        helpers.emplace_back([&, job] { run(passes[job], job, path, may_be_torn, content); });
    run(passes[0], 0, path, may_be_torn, content);
    for (std::thread& helper : helpers)
        helper.join();
    for (Pass const& pass : passes)
        if (pass.failure)
            std::rethrow_exception(pass.failure);
    if (auto const file = content.publish()) {
        ++totals_.content_files;
        totals_.content_file_bytes += size_of(*file);
        announce_(*file, ClosedKind::content);
    }
    totals_.content_blocks_stored += content.new_blocks();
    for (Pass& pass : passes) {
        for (auto& [key, stream] : pass.streams)
            publish_stream(key, stream);
        totals_.rows += pass.rows;
        totals_.gap_records += pass.gap_records;
        totals_.content_blocks_known += pass.content_blocks_known;
    }
    dispose_of(path, passes[0].torn_bytes, may_be_torn);
}

/// Reads the whole segment and takes what belongs to this job; reading is cheap next to writing Parquet.
void Converter::run(Pass& pass, unsigned job, fs::path const& segment, bool may_be_torn, ContentFile& content)
{
    try {
        JournalReader reader{segment};
        if (may_be_torn && job == 0)
            reader.sync(); // what is read now must still be there when this is done again after a power cut
        JournalEntry entry;
        while (reader.next(entry))
            if (jobs_ == 1 || StreamKeyHash{}({entry.boot, entry.slot.stream}) % jobs_ == job)
                add(pass, entry, content);
        pass.torn_bytes = reader.torn_bytes();
    } catch (...) {
        pass.failure = std::current_exception();
    }
}

void Converter::add(Pass& pass, JournalEntry const& entry, ContentFile& content)
{
    StreamKey const key{entry.boot, entry.slot.stream};
    auto found = pass.streams.find(key);
    if (found == pass.streams.end()) {
        auto file = std::make_unique<RecordFile>(stream_folder(store_, key.boot, key.stream), key.stream);
        found = pass.streams.emplace(key, Stream{position_of(key), std::move(file)}).first;
    }
    Stream& stream = found->second;
    Slot const& slot = entry.slot;
    if (slot.number < stream.position.next_slot)
        return; // published before a crash or a failed attempt
    auto const gap = stream.position.advance(slot.number, slot.first_sequence, slot.count);
    if (!gap) {
        log_event(spdlog::level::err, "slot_repeated",
                  fmt::format("journal: slot {} has sequence numbers that are stored already; left out", slot.number),
                  {.machine = entry.boot.machine,
                   .boot = entry.boot.boot,
                   .stream = slot.stream == wire::Stream::memory ? "memory" : "storage"});
        ++totals_.errors;
        return;
    }
    auto const first = SlotReader{slot.bytes}.next();
    auto const time = static_cast<std::int64_t>(first ? first->record.time_utc_ns.get() : slot.received_utc_ns);
    if (*gap) {
        stream.file->add_gap(**gap, time, slot.number);
        pass.gap_records += (*gap)->missing;
    }
    if (slot.bytes.empty()) {
        stream.file->add_gap({slot.first_sequence, slot.count, true}, time, slot.number);
        pass.gap_records += slot.count;
    }
    add_rows(pass, slot, *stream.file, content);
}

void Converter::add_rows(Pass& pass, Slot const& slot, RecordFile& file, ContentFile& content)
{
    SlotReader reader{slot.bytes};
    std::uint64_t sequence = slot.first_sequence;
    while (auto const item = reader.next()) {
        std::optional<ContentHash> hash;
        std::string request;
        if (item->record.kind.get() == static_cast<std::uint8_t>(wire::Kind::memory_mode)) {
            request = memory_request_json(item->content);
        } else if (!item->content.empty()) {
            auto const added = content.add(item->content);
            hash = added.hash;
            pass.content_blocks_known += added.is_new ? 0 : 1;
        }
        file.add(item->record, sequence++, slot.number, hash, request);
        ++pass.rows;
    }
}

void Converter::publish_stream(StreamKey const& key, Stream& stream)
{
    if (stream.file->empty())
        return;
    {
        // Should it fail half-way, the files themselves say next time how far it came.
        std::lock_guard const guard{mutex_};
        published_.erase(key);
    }
    fs::path const path = stream.file->publish();
    {
        std::lock_guard const guard{mutex_};
        published_[key] = stream.position;
    }
    ++totals_.record_files;
    totals_.record_file_bytes += size_of(path);
    announce_(path, ClosedKind::records);
}

StreamPosition Converter::position_of(StreamKey const& key)
{
    std::lock_guard const guard{mutex_};
    auto found = published_.find(key);
    if (found == published_.end())
        found = published_.emplace(key, resume_(key)).first;
    return found->second;
}

void Converter::dispose_of(fs::path const& path, std::uint64_t torn_bytes, bool may_be_torn)
{
    if (torn_bytes == 0) {
        remove_durably(path);
        return;
    }
    if (may_be_torn) {
        log_event(spdlog::level::info, "segment_cut_short",
                  fmt::format("journal: {} ends in {} bytes of an interrupted write; the sensor sends them again",
                              path.filename().string(), torn_bytes),
                  {.file = path.filename().string()});
        remove_durably(path);
        return;
    }
    // A segment that was closed and synced must be whole: this is a damaged disk, not a crash.
    ++totals_.damaged_segments;
    fs::path const kept = path.string() + ".damaged";
    log_event(spdlog::level::err, "segment_damaged",
              fmt::format("journal: {} bytes of {} cannot be read back: records may be missing; kept as {}", torn_bytes,
                          path.filename().string(), kept.string()),
              {.file = path.filename().string()});
    publish(path, kept);
}

} // namespace undercroft::collector
