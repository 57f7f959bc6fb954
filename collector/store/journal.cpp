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

constexpr std::uint32_t frame_magic = 0x324A4355; // "UCJ2"

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
static_assert(sizeof(FrameHeader) == 8 && sizeof(SlotHeader) == 68);
constexpr std::size_t headers_bytes = sizeof(FrameHeader) + sizeof(SlotHeader);
constexpr std::string_view segment_suffix = ".journal";

std::uint32_t crc_of(std::span<std::uint8_t const> header, std::span<std::uint8_t const> bytes)
{
    return crc32c(crc32c(0, header), bytes);
}

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
    file_ = File{path, O_RDWR | O_CREAT | O_EXCL};
    number_ = number;
    durable_bytes_ = 0;
    failpoint("after segment");
    sync_directory(journal_);
}

void JournalWriter::append(BootKey const& boot, Slot const& slot)
{
    SlotHeader const header = slot_header_of(boot, slot);
    FrameHeader const frame{frame_magic, crc_of(bytes_of(header), slot.bytes)};
    std::lock_guard const guard{mutex_};
    auto const put = [this](std::span<std::uint8_t const> bytes) {
        pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    };
    put(bytes_of(frame));
    put(bytes_of(header));
    put(slot.bytes);
    pending_bytes_.store(pending_.size(), std::memory_order_relaxed);
}

bool JournalWriter::stage()
{
    std::lock_guard const guard{mutex_};
    if (pending_.empty() || !staged_.empty())
        return false;
    staged_.swap(pending_);
    pending_bytes_.store(0, std::memory_order_relaxed);
    return true;
}

void JournalWriter::commit(bool sync)
{
    if (staged_.empty())
        return;
    try {
        file_.write_at(durable_bytes_, staged_);
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

JournalReader::JournalReader(fs::path const& segment) : file_{segment, O_RDONLY} {}

bool JournalReader::is_damaged() const
{
    struct {
        FrameHeader frame;
        SlotHeader slot;
    } head;
    if (file_.read_at(offset_, {reinterpret_cast<std::uint8_t*>(&head), sizeof(head)}) != sizeof(head))
        return false;
    std::size_t const slot_bytes = head.slot.slot_bytes.get();
    return head.frame.magic.get() != frame_magic || slot_bytes > wire::max_slot_bytes ||
           torn_bytes() >= headers_bytes + slot_bytes;
}

bool JournalReader::next(JournalEntry& entry)
{
    struct {
        FrameHeader frame;
        SlotHeader slot;
    } head;
    static_assert(sizeof(head) == headers_bytes);
    if (file_.read_at(offset_, {reinterpret_cast<std::uint8_t*>(&head), sizeof(head)}) != sizeof(head))
        return false;
    std::size_t const slot_bytes = head.slot.slot_bytes.get();
    if (head.frame.magic.get() != frame_magic || slot_bytes > wire::max_slot_bytes)
        return false;
    entry.bytes.resize(slot_bytes);
    if (file_.read_at(offset_ + headers_bytes, entry.bytes) != slot_bytes)
        return false;
    if (crc_of(bytes_of(head.slot), entry.bytes) != head.frame.crc.get())
        return false;
    std::ranges::copy(head.slot.machine, entry.boot.machine.begin());
    std::ranges::copy(head.slot.boot, entry.boot.boot.begin());
    entry.slot = Slot{static_cast<wire::Stream>(head.slot.stream.get()),
                      head.slot.slot.get(),
                      head.slot.first_sequence.get(),
                      head.slot.count.get(),
                      head.slot.received_utc_ns.get(),
                      entry.bytes};
    offset_ += headers_bytes + slot_bytes;
    return true;
}

} // namespace undercroft::collector
