// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A journal segment of any bytes: the reader stays inside it, gives only frames whose checksum holds, and what it gives
// can be walked. With checksums put right where the first byte asks for it, so that frames are reached at all.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "collector/ingest/slot.hpp"
#include "collector/store/crc32c.hpp"
#include "collector/store/journal.hpp"

namespace {

using namespace undercroft;
using namespace undercroft::collector;

constexpr std::size_t frame_header_bytes = 8;
constexpr std::size_t slot_header_bytes = 68;

std::uint32_t load32(std::uint8_t const* at)
{
    std::uint32_t value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

/// Magic and checksum of each frame as they should be, as far as the lengths lead.
void put_right(std::vector<std::uint8_t>& bytes)
{
    static constexpr std::uint8_t magic[4] = {'U', 'C', 'J', '2'};
    std::size_t at = 0;
    while (bytes.size() - at >= frame_header_bytes + slot_header_bytes) {
        std::uint8_t* const frame = bytes.data() + at;
        std::size_t const room = bytes.size() - at - frame_header_bytes - slot_header_bytes;
        std::uint32_t const length = load32(frame + frame_header_bytes) % 4096;
        std::memcpy(frame + frame_header_bytes, &length, sizeof(length));
        if (length > room)
            return;
        std::uint32_t const crc = crc32c(0, {frame + frame_header_bytes, slot_header_bytes + length});
        std::memcpy(frame, magic, sizeof(magic));
        std::memcpy(frame + 4, &crc, sizeof(crc));
        at += frame_header_bytes + slot_header_bytes + length;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* input, std::size_t size)
{
    if (size == 0)
        return 0;
    std::vector<std::uint8_t> bytes(input + 1, input + size);
    if ((input[0] & 1) != 0)
        put_right(bytes);
    int const memory = ::memfd_create("segment", MFD_CLOEXEC);
    if (memory < 0 || ::write(memory, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        std::abort();
    {
        JournalReader reader{"/proc/self/fd/" + std::to_string(memory)};
        JournalEntry entry;
        std::size_t used = 0;
        while (reader.next(entry)) {
            used += frame_header_bytes + slot_header_bytes + entry.slot.bytes.size();
            if (entry.slot.bytes.size() > wire::max_slot_bytes)
                std::abort();
            SlotReader items{entry.slot.bytes};
            std::size_t walked = 0;
            while (auto const item = items.next())
                walked += sizeof(item->record) + item->content.size();
            if (walked > entry.slot.bytes.size())
                std::abort();
        }
        // The rest is padding, which only the reader knows.
        if (used + reader.torn_bytes() > bytes.size())
            std::abort();
    }
    ::close(memory);
    return 0;
}
