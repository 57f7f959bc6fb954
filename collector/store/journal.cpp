// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/journal.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "base/le.hpp"
#include "collector/store/crc32c.hpp"

namespace undercroft::collector {
namespace {

constexpr std::uint32_t frame_magic = 0x324A4355;   // "UCJ2"
constexpr std::uint32_t padding_magic = 0x504A4355; // "UCJP"
constexpr std::size_t window_bytes = std::size_t{2} << 20;

struct FrameHeader {
    Le<std::uint32_t> magic;
    Le<std::uint32_t> crc;
};
struct SlotHeader {
    Le<std::uint32_t> slot_bytes; ///< 0: refused slot, a gap of `count` records
    Le<std::uint16_t> stream;
    Le<std::uint16_t> reserved;
    std::uint8_t machine[16];
    std::uint8_t boot[16];
    Le<std::uint64_t> slot;
    Le<std::uint64_t> first_sequence;
    Le<std::uint64_t> received_utc_ns;
    Le<std::uint32_t> count;
};
/// Instead of a SlotHeader behind a FrameHeader with padding_magic; `bytes` of any value follow.
struct PaddingHeader {
    Le<std::uint32_t> bytes;
};
static_assert(sizeof(FrameHeader) == 8 && sizeof(SlotHeader) == 68);
static_assert(window_bytes >= 2 * direct_alignment + sizeof(FrameHeader) + sizeof(SlotHeader) + wire::max_slot_bytes);
constexpr std::size_t headers_bytes = sizeof(FrameHeader) + sizeof(SlotHeader);
constexpr std::string_view segment_suffix = ".journal";

SlotHeader slot_header_of(BootKey const& boot, Slot const& slot)
{
    SlotHeader header{};
    header.slot_bytes = static_cast<std::uint32_t>(slot.bytes.size());
    header.stream = static_cast<std::uint16_t>(slot.stream);
    std::ranges::copy(boot.machine, header.machine);
    std::ranges::copy(boot.boot, header.boot);
    header.slot = slot.number;
    header.first_sequence = slot.first_sequence;
    header.received_utc_ns = slot.received_utc_ns;
    header.count = slot.count;
    return header;
}

template <typename T>
std::span<std::uint8_t const> bytes_of(T const& value)
{
    return {reinterpret_cast<std::uint8_t const*>(&value), sizeof(value)};
}

/// Nobody but a collector's commit ends up at this: what a power cut leaves (zeros, or a slot's bytes without its
/// header) is never taken for the end of a batch.
void pad(AlignedBuffer& batch)
{
    std::size_t const headers = batch.size() + sizeof(FrameHeader) + sizeof(PaddingHeader);
    std::size_t const end = (headers + direct_alignment - 1) / direct_alignment * direct_alignment;
    PaddingHeader const padding{static_cast<std::uint32_t>(end - headers)};
    FrameHeader const frame{padding_magic, crc32c(0, bytes_of(padding))};
    batch.append(bytes_of(frame));
    batch.append(bytes_of(padding));
    batch.resize(end);
    std::ranges::fill(batch.bytes().subspan(headers), std::uint8_t{0});
}

/// Fills in the checksums of a batch that ends with padding.
void checksum_frames(std::span<std::uint8_t> batch)
{
    struct {
        FrameHeader frame;
        SlotHeader slot;
    } head;
    for (std::size_t at = 0; batch.size() - at >= sizeof(head);) {
        std::memcpy(&head, batch.data() + at, sizeof(head));
        if (head.frame.magic.get() != frame_magic)
            return;
        std::size_t const covered = sizeof(SlotHeader) + head.slot.slot_bytes.get();
        head.frame.crc = crc32c(0, batch.subspan(at + sizeof(FrameHeader), covered));
        std::memcpy(batch.data() + at, &head.frame, sizeof(head.frame));
        at += sizeof(FrameHeader) + covered;
    }
}

} // namespace

fs::path segment_path(fs::path const& journal, std::uint64_t number)
{
    return journal / fmt::format("{:020}{}", number, segment_suffix);
}

std::vector<std::uint64_t> list_segments(fs::path const& journal)
{
    std::vector<std::uint64_t> numbers;
    for (auto const& entry : fs::directory_iterator{journal}) {
        std::string const name = entry.path().filename();
        std::uint64_t number = 0;
        auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error == std::errc{} && end == name.data() + 20 && std::string_view{end} == segment_suffix)
            numbers.push_back(number);
    }
    std::ranges::sort(numbers);
    return numbers;
}

void JournalWriter::open_segment(std::uint64_t number)
{
    fs::path const path = segment_path(journal_, number);
    failpoint("before segment");
    file_ = File::direct(path, O_RDWR | O_CREAT | O_EXCL);
    number_ = number;
    durable_bytes_ = 0;
    failpoint("after segment");
    sync_directory(journal_);
}

void JournalWriter::append(BootKey const& boot, Slot const& slot)
{
    SlotHeader const header = slot_header_of(boot, slot);
    FrameHeader const frame{frame_magic, std::uint32_t{0}}; // the checksum is the committing thread's affair
    std::lock_guard const guard{mutex_};
    pending_.append(bytes_of(frame));
    pending_.append(bytes_of(header));
    pending_.append(slot.bytes);
    pending_bytes_.store(pending_.size(), std::memory_order_relaxed);
}

bool JournalWriter::stage()
{
    std::lock_guard const guard{mutex_};
    if (pending_.empty() || !staged_.empty())
        return false;
    staged_.swap(pending_);
    pending_bytes_.store(0, std::memory_order_relaxed);
    pad(staged_);
    return true;
}

void JournalWriter::commit(bool sync)
{
    if (staged_.empty())
        return;
    try {
        checksum_frames(staged_.bytes());
        file_.write_at(durable_bytes_, staged_.bytes());
        if (sync)
            file_.sync_data();
    } catch (StoreError const&) {
        // A cut frame at the end would be harmless, but its blocks may be what the disk lacks.
        file_.truncate(durable_bytes_);
        throw;
    }
    durable_bytes_ += staged_.size();
    staged_.clear();
}

void JournalWriter::close_segment()
{
    file_ = File{};
}

JournalReader::JournalReader(fs::path const& segment) : file_{File::direct(segment, O_RDONLY)} {}

std::span<std::uint8_t const> JournalReader::view(std::uint64_t offset, std::size_t count)
{
    if (offset < window_offset_ || offset + count > window_offset_ + window_.size()) {
        window_offset_ = offset / direct_alignment * direct_alignment;
        window_.resize(window_bytes);
        window_.resize(file_.read_at(window_offset_, window_.bytes()));
    }
    std::size_t const at = std::min<std::size_t>(offset - window_offset_, window_.size());
    return window_.bytes().subspan(at, std::min(count, window_.size() - at));
}

bool JournalReader::is_damaged()
{
    struct {
        FrameHeader frame;
        SlotHeader slot;
    } head;
    auto const bytes = view(offset_, sizeof(head));
    if (bytes.size() < sizeof(FrameHeader) + sizeof(PaddingHeader))
        return false;
    std::memcpy(&head, bytes.data(), bytes.size());
    if (head.frame.magic.get() == padding_magic) {
        PaddingHeader padding{};
        std::memcpy(&padding, bytes.data() + sizeof(FrameHeader), sizeof(padding));
        return head.frame.crc.get() != crc32c(0, bytes_of(padding)) || padding.bytes.get() >= direct_alignment;
    }
    if (bytes.size() < sizeof(head))
        return head.frame.magic.get() != frame_magic;
    std::size_t const slot_bytes = head.slot.slot_bytes.get();
    return head.frame.magic.get() != frame_magic || slot_bytes > wire::max_slot_bytes ||
           torn_bytes() >= headers_bytes + slot_bytes;
}

/// False: there is none, or not all of it.
bool JournalReader::skip_padding()
{
    struct {
        FrameHeader frame;
        PaddingHeader padding;
    } head;
    auto const bytes = view(offset_, sizeof(head));
    if (bytes.size() != sizeof(head))
        return false;
    std::memcpy(&head, bytes.data(), sizeof(head));
    std::uint64_t const end = offset_ + sizeof(head) + head.padding.bytes.get();
    if (head.frame.magic.get() != padding_magic || head.frame.crc.get() != crc32c(0, bytes_of(head.padding)) ||
        head.padding.bytes.get() >= direct_alignment || end > file_.size())
        return false;
    offset_ = end;
    return true;
}

bool JournalReader::next(JournalEntry& entry)
{
    if (read_next(entry))
        return true;
    window_.clear(); // a segment that is being written to has more the next time
    return false;
}

bool JournalReader::read_next(JournalEntry& entry)
{
    struct {
        FrameHeader frame;
        SlotHeader slot;
    } head;
    static_assert(sizeof(head) == headers_bytes);
    while (skip_padding()) {
    }
    auto bytes = view(offset_, headers_bytes);
    if (bytes.size() != headers_bytes)
        return false;
    std::memcpy(&head, bytes.data(), headers_bytes);
    std::size_t const slot_bytes = head.slot.slot_bytes.get();
    if (head.frame.magic.get() != frame_magic || slot_bytes > wire::max_slot_bytes)
        return false;
    bytes = view(offset_, headers_bytes + slot_bytes);
    if (bytes.size() != headers_bytes + slot_bytes ||
        crc32c(0, bytes.subspan(sizeof(FrameHeader))) != head.frame.crc.get())
        return false;
    std::ranges::copy(head.slot.machine, entry.boot.machine.begin());
    std::ranges::copy(head.slot.boot, entry.boot.boot.begin());
    entry.slot = Slot{static_cast<wire::Stream>(head.slot.stream.get()),
                      head.slot.slot.get(),
                      head.slot.first_sequence.get(),
                      head.slot.count.get(),
                      head.slot.received_utc_ns.get(),
                      bytes.subspan(headers_bytes)};
    offset_ += headers_bytes + slot_bytes;
    return true;
}

} // namespace undercroft::collector
