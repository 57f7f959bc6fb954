// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Slots that are durable but not yet in Parquet. A journal is a folder of numbered segments; a segment is
// frames back to back: FrameHeader | SlotHeader | slot bytes. The frame's CRC-32C covers all after `crc`. A commit ends
// with a frame of padding up to a multiple of direct_alignment, so that segments are written past the page cache.
// A frame that is cut short or does not match ends the segment: everything acknowledged lies before it.
#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "collector/ingest/identity.hpp"
#include "collector/ingest/slot.hpp"
#include "collector/store/aligned_buffer.hpp"
#include "collector/store/files.hpp"

namespace undercroft::collector {

/// What a journal frame gives back. `slot.bytes` are valid until the reader's next one.
struct JournalEntry {
    BootKey boot;
    Slot slot;
};

[[nodiscard]] fs::path segment_path(fs::path const& journal, std::uint64_t number);
/// Numbers of the segments present, ascending.
[[nodiscard]] std::vector<std::uint64_t> list_segments(fs::path const& journal);

/// Collects frames in memory and puts them into one segment, many at a time.
class JournalWriter {
public:
    explicit JournalWriter(fs::path journal) : journal_{std::move(journal)} {}

    /// Starts a new segment file. Throws StoreError.
    void open_segment(std::uint64_t number);
    [[nodiscard]] bool is_open() const { return file_.is_open(); }
    [[nodiscard]] std::uint64_t number() const { return number_; }
    /// From any thread; frames of one stream keep their order.
    void append(BootKey const& boot, Slot const& slot);
    /// Sets aside everything appended for the next commit; append may go on in another thread meanwhile.
    /// False: there is nothing, or an earlier batch is still to be committed.
    [[nodiscard]] bool stage();
    /// Writes the staged batch and, with `sync`, makes it durable. Throws StoreError and keeps it for another try.
    void commit(bool sync = true);
    /// Makes durable what commit(false) has written. Throws StoreError.
    void sync() { file_.sync_data(); }
    [[nodiscard]] std::size_t pending_bytes() const { return pending_bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t staged_bytes() const { return staged_.size(); }
    [[nodiscard]] std::uint64_t durable_bytes() const { return durable_bytes_; }
    /// Nothing may be staged.
    void close_segment();

private:
    fs::path journal_;
    File file_;
    std::uint64_t number_ = 0;
    std::uint64_t durable_bytes_ = 0;
    std::atomic<std::size_t> pending_bytes_{0}; ///< pending_.size()
    std::mutex mutex_;                          ///< guards pending_
    AlignedBuffer pending_;
    AlignedBuffer staged_;
};

class JournalReader {
public:
    explicit JournalReader(fs::path const& segment);
    /// False at the end of what is whole.
    [[nodiscard]] bool next(JournalEntry& entry);
    /// Bytes after the last whole frame; 0 for a segment that was closed properly.
    [[nodiscard]] std::uint64_t torn_bytes() const { return file_.size() - offset_; }
    /// After next() gave nothing: what follows is no frame, and will be none when more bytes come. A segment that is
    /// being written to is worth another look before it is called damaged.
    [[nodiscard]] bool is_damaged();
    /// Where the next frame begins.
    [[nodiscard]] std::uint64_t offset() const { return offset_; }
    void sync() { file_.sync_data(); }

private:
    /// `count` bytes from `offset` on; fewer at the end of the file. `count` is at most a frame's length.
    [[nodiscard]] std::span<std::uint8_t const> view(std::uint64_t offset, std::size_t count);
    [[nodiscard]] bool skip_padding();
    [[nodiscard]] bool read_next(JournalEntry& entry);

    File file_;
    std::uint64_t offset_ = 0;
    std::uint64_t window_offset_ = 0; ///< of window_ in the file
    AlignedBuffer window_;
};

} // namespace undercroft::collector
