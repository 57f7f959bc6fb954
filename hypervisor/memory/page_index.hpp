// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The pages of usable RAM, numbered without holes, so that one bit per page is enough for a whole machine.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/units.hpp"
#include "hypervisor/boot/boot_info.hpp"

namespace undercroft::memory {

class PageIndex {
public:
    struct Range {
        std::uint64_t begin;        ///< guest-physical
        std::uint64_t pages;        ///< not 0
        std::uint64_t first_number; ///< of its first page
    };
    /// The firmware's ranges, and each of the sensor's own cuts at most one of them in two.
    static constexpr std::size_t max_ranges = boot::max_memory_ranges + 8;

    /// Whole pages of [begin, begin + bytes), above everything added before. False: no room, or not above.
    [[nodiscard]] bool add(std::uint64_t begin, std::uint64_t bytes)
    {
        std::uint64_t const first = (begin + page_bytes - 1) & ~(page_bytes - 1);
        std::uint64_t const end = (begin + bytes) & ~(page_bytes - 1);
        if (first >= end || begin + bytes < begin)
            return begin + bytes >= begin;
        if (count_ != 0) {
            Range& last = ranges_[count_ - 1];
            std::uint64_t const last_end = last.begin + last.pages * page_bytes;
            if (first < last_end)
                return false;
            if (first == last_end) {
                last.pages += (end - first) / page_bytes;
                return true;
            }
        }
        if (count_ == ranges_.size())
            return false;
        ranges_[count_++] = {first, (end - first) / page_bytes, pages()};
        return true;
    }

    [[nodiscard]] std::uint64_t pages() const
    {
        return count_ == 0 ? 0 : ranges_[count_ - 1].first_number + ranges_[count_ - 1].pages;
    }
    [[nodiscard]] std::span<Range const> ranges() const { return {ranges_.data(), count_}; }

    /// Of the page that holds this address; nothing where there is no usable RAM.
    [[nodiscard]] std::optional<std::uint64_t> number(Gpa gpa) const
    {
        auto const all = ranges();
        auto const after = std::upper_bound(all.begin(), all.end(), gpa.value,
                                            [](std::uint64_t at, Range const& range) { return at < range.begin; });
        if (after == all.begin())
            return std::nullopt;
        Range const& range = *(after - 1);
        std::uint64_t const inside = (gpa.value - range.begin) / page_bytes;
        if (inside >= range.pages)
            return std::nullopt;
        return range.first_number + inside;
    }

    /// `number` is below pages().
    [[nodiscard]] Gpa page(std::uint64_t number) const
    {
        auto const all = ranges();
        auto const after = std::upper_bound(all.begin(), all.end(), number,
                                            [](std::uint64_t n, Range const& range) { return n < range.first_number; });
        Range const& range = *(after - 1);
        return Gpa{range.begin + (number - range.first_number) * page_bytes};
    }

    /// Calls visit(first number, pages) for what of [begin, begin + bytes) is usable RAM. Overflow is cut off.
    template <typename Visit>
    void for_each_part(Gpa begin, std::uint64_t bytes, Visit&& visit) const
    {
        std::uint64_t const end = begin.value + bytes < begin.value ? ~0ULL : begin.value + bytes;
        auto const all = ranges();
        auto range = std::upper_bound(all.begin(), all.end(), begin.value,
                                      [](std::uint64_t at, Range const& r) { return at < r.begin; });
        if (range != all.begin())
            --range;
        for (; range != all.end() && range->begin < end; ++range) {
            std::uint64_t const range_end = range->begin + range->pages * page_bytes;
            std::uint64_t const from = std::max(begin.value, range->begin) & ~(page_bytes - 1);
            std::uint64_t const to = std::min(end, range_end);
            if (from < to)
                visit(range->first_number + (from - range->begin) / page_bytes,
                      (to - from + page_bytes - 1) / page_bytes);
        }
    }

private:
    std::array<Range, max_ranges> ranges_{};
    std::size_t count_ = 0;
};

} // namespace undercroft::memory
