// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ide/prd.hpp"

#include <algorithm>

namespace undercroft::ide {
namespace {

constexpr std::uint32_t boundary = 0x10000;

struct Copying {
    core::GuestMemory const& memory;
    std::span<PrdEntry> room;
    std::size_t used = 0;
    PrdCopy& result;
};

/// One entry of the guest's becomes one or two that cross nothing.
PrdVerdict add(Copying& copying, PrdEntry entry)
{
    constexpr std::uint32_t reserved = 0x7fff0001;
    if ((entry.count_word & reserved) != 0 || (entry.address & 1U) != 0)
        copying.result.well_formed = false;
    std::uint32_t left = entry.bytes();
    std::uint32_t at = entry.address & ~1U;
    copying.result.bytes += left;
    if (left > boundary - at % boundary)
        copying.result.well_formed = false;
    while (left != 0) {
        std::uint32_t const piece = std::min(left, boundary - at % boundary);
        if (copying.used == copying.room.size())
            return PrdVerdict::too_long;
        if (copying.memory.touches_sensor(Gpa{at}, piece))
            return PrdVerdict::touches_sensor;
        copying.room[copying.used++] = {at, piece & 0xffffU};
        at += piece; // 32 bits, as on the bus
        left -= piece;
    }
    return PrdVerdict::usable;
}

} // namespace

PrdCopy copy_prd_table(core::GuestMemory const& memory, std::uint32_t guest_table, std::span<PrdEntry> room)
{
    PrdCopy result;
    Copying copying{memory, room, 0, result};
    std::uint32_t const first = guest_table & ~3U;
    std::uint32_t const end = boundary - first % boundary;
    bool ended = false;
    for (std::uint32_t offset = 0; !ended && offset + sizeof(PrdEntry) <= end; offset += sizeof(PrdEntry)) {
        PrdEntry entry;
        if (!memory.read(Gpa{first} + offset, std::as_writable_bytes(std::span{&entry, 1})))
            return result; // unreadable
        ended = entry.last();
        entry.count_word &= ~PrdEntry::end_of_table;
        if (PrdVerdict const verdict = add(copying, entry); verdict != PrdVerdict::usable) {
            result.verdict = verdict;
            return result;
        }
    }
    result.well_formed = result.well_formed && ended;
    if (copying.used == 0)
        return result; // the boundary comes before the first entry's end
    room[copying.used - 1].count_word |= PrdEntry::end_of_table;
    result.entries = room.first(copying.used);
    result.verdict = PrdVerdict::usable;
    return result;
}

bool PrdExtents::next(observe::Extent& extent)
{
    if (rest_.empty() || bytes_ == 0)
        return false;
    extent = {Gpa{rest_.front().address}, rest_.front().bytes()};
    rest_ = rest_.subspan(1);
    while (!rest_.empty() && extent.bytes < bytes_ && extent.address.value + extent.bytes == rest_.front().address) {
        extent.bytes += rest_.front().bytes();
        rest_ = rest_.subspan(1);
    }
    extent.bytes = std::min(extent.bytes, bytes_);
    bytes_ -= extent.bytes;
    return true;
}

} // namespace undercroft::ide
