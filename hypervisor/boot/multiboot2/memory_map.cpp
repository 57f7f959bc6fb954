// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/memory_map.hpp"

#include <algorithm>

namespace undercroft::multiboot2 {
namespace {

constexpr std::uint64_t page = 4096;

struct Range {
    std::uint64_t start, end;
};

MapEntry piece(MapEntry const& of, std::uint64_t start, std::uint64_t end, RangeType type)
{
    MapEntry result = of;
    result.start = start;
    result.bytes = end - start;
    result.type = type;
    return result;
}

/// The lowest range that overlaps [start, end) and is not free to use, or nothing.
std::optional<Range> obstacle(std::span<MapEntry const> entries, std::span<boot::MemoryRange const> taken,
                              std::uint64_t start, std::uint64_t end)
{
    std::optional<Range> found;
    auto const look_at = [&](std::uint64_t from, std::uint64_t to) {
        if (from < end && start < to && (!found || from < found->start))
            found = Range{from, to};
    };
    for (MapEntry const& entry : entries)
        if (entry.counts() && entry.type != RangeType::usable)
            look_at(entry.start, entry.end());
    for (boot::MemoryRange const& range : taken)
        if (range.bytes != 0)
            look_at(range.start, range.start + range.bytes);
    return found;
}

bool is_memory(RangeType type)
{
    return type == RangeType::usable || type == RangeType::acpi_reclaim || type == RangeType::acpi_nvs;
}

/// Sorted, disjoint ranges of at most `capacity` entries each added once.
class RangeList {
public:
    void add(std::uint64_t start, std::uint64_t end)
    {
        if (start < end)
            ranges_[count_++] = {start, end};
    }
    void join()
    {
        std::sort(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(count_),
                  [](Range const& a, Range const& b) { return a.start < b.start; });
        std::size_t kept = 0;
        for (std::size_t i = 0; i < count_; ++i) {
            if (kept != 0 && ranges_[i].start <= ranges_[kept - 1].end)
                ranges_[kept - 1].end = std::max(ranges_[kept - 1].end, ranges_[i].end);
            else
                ranges_[kept++] = ranges_[i];
        }
        count_ = kept;
    }
    [[nodiscard]] bool touches(std::uint64_t start, std::uint64_t end) const
    {
        return std::any_of(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(count_),
                           [=](Range const& range) { return range.start <= end && start <= range.end; });
    }
    [[nodiscard]] std::span<Range const> ranges() const { return {ranges_.data(), count_}; }

private:
    std::array<Range, MemoryMap::capacity + 1> ranges_{};
    std::size_t count_ = 0;
};

} // namespace

bool MemoryMap::add(MapEntry const& entry)
{
    if (count_ == capacity)
        return false;
    entries_[count_++] = entry;
    return true;
}

bool MemoryMap::hide(std::uint64_t start, std::uint64_t bytes)
{
    std::uint64_t const end = start + bytes;
    MemoryMap edited;
    for (MapEntry const& entry : entries()) {
        if (entry.type != RangeType::usable || !entry.counts() || !entry.overlaps(start, end)) {
            if (!edited.add(entry))
                return false;
            continue;
        }
        std::uint64_t const cut_start = std::max(entry.start, start);
        std::uint64_t const cut_end = std::min(entry.end(), end);
        if ((entry.start < cut_start && !edited.add(piece(entry, entry.start, cut_start, RangeType::usable))) ||
            !edited.add(piece(entry, cut_start, cut_end, RangeType::reserved)) ||
            (cut_end < entry.end() && !edited.add(piece(entry, cut_end, entry.end(), RangeType::usable))))
            return false;
    }
    *this = edited;
    return true;
}

std::optional<std::uint64_t> MemoryMap::find(std::uint64_t bytes, std::uint64_t align, std::uint64_t floor,
                                             std::uint64_t limit, std::span<boot::MemoryRange const> taken) const
{
    std::optional<std::uint64_t> best;
    for (MapEntry const& entry : entries()) {
        if (entry.type != RangeType::usable || !entry.counts())
            continue;
        std::uint64_t const low = std::max(entry.start, floor);
        std::uint64_t high = std::min(entry.end(), limit);
        // Each obstacle is left behind for good: there are no more rounds than obstacles.
        while (high >= bytes) {
            std::uint64_t const start = (high - bytes) & ~(align - 1);
            if (start < low || (best && start <= *best))
                break;
            auto const in_the_way = obstacle(entries(), taken, start, start + bytes);
            if (!in_the_way) {
                best = start;
                break;
            }
            high = in_the_way->start;
        }
    }
    return best;
}

bool MemoryMap::usable(std::uint64_t start, std::uint64_t bytes) const
{
    return usable_from(start) >= bytes && !obstacle(entries(), {}, start, start + bytes);
}

std::uint64_t MemoryMap::usable_from(std::uint64_t start) const
{
    std::uint64_t at = start;
    for (std::size_t round = 0; round <= count_; ++round) {
        std::uint64_t reached = at;
        for (MapEntry const& entry : entries())
            if (entry.counts() && entry.type == RangeType::usable && entry.start <= reached)
                reached = std::max(reached, entry.end());
        if (reached == at)
            break;
        at = reached;
    }
    auto const in_the_way = obstacle(entries(), {}, start, at);
    return in_the_way ? std::max(in_the_way->start, start) - start : at - start;
}

void RamRanges::add(std::uint64_t start, std::uint64_t end)
{
    if (start < end && count_ < ranges_.size())
        ranges_[count_++] = {start, end - start};
}

void RamRanges::exclude(std::uint64_t start, std::uint64_t bytes)
{
    RamRanges left;
    for (boot::MemoryRange const& range : ranges()) {
        std::uint64_t const end = range.start + range.bytes;
        left.add(range.start, std::min(end, start));
        left.add(std::max(range.start, start + bytes), end);
    }
    *this = left;
}

RamRanges find_ram(MemoryMap const& map, IsCached is_cached, void const* context)
{
    // The BIOS's own code and the ROMs of cards: memory that most maps do not mention.
    constexpr std::uint64_t rom_start = 0xC0000, rom_end = 0x100000;
    RangeList list;
    list.add(rom_start, rom_end);
    for (MapEntry const& entry : map.entries())
        if (entry.counts() && is_memory(entry.type))
            list.add(entry.start, entry.end());
    std::array<bool, MemoryMap::capacity> taken{};
    for (bool grown = true; grown;) { // each round takes an entry, or is the last
        grown = false;
        for (std::size_t i = 0; i < map.entries().size(); ++i) {
            MapEntry const& entry = map.entries()[i];
            if (taken[i] || !entry.counts() || entry.type != RangeType::reserved ||
                !list.touches(entry.start, entry.end()) || !is_cached(context, entry.start, entry.end()))
                continue;
            list.add(entry.start, entry.end());
            taken[i] = grown = true;
        }
    }
    list.join();
    RamRanges result;
    for (Range const& range : list.ranges())
        result.add((range.start + page - 1) & ~(page - 1), range.end & ~(page - 1));
    return result;
}

} // namespace undercroft::multiboot2
