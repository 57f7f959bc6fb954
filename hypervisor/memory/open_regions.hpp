// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Parts of a range that a mode leaves alone for now, oldest first. When there are too many, all of the range is one.
#include <array>
#include <cstddef>
#include <cstdint>

#include "hypervisor/memory/page_view.hpp"

namespace undercroft::memory {

class OpenRegions {
public:
    static constexpr std::size_t capacity = 4096; ///< 8 GiB in pieces of 2 MiB

    void clear() { first_ = count_ = 0; }
    [[nodiscard]] bool empty() const { return count_ == 0; }

    /// The 2 MiB around `gpa`, as far as they lie in `whole`. Returns what is open from now on: these, or, when there
    /// is no room for more, `whole`.
    PageRange add(Gpa gpa, PageRange whole)
    {
        if (count_ == capacity) {
            clear();
            ranges_[first_] = whole;
            count_ = 1;
            return whole;
        }
        std::uint64_t const piece = gpa.value & ~(huge_page_bytes - 1);
        std::uint64_t const begin = piece < whole.begin.value ? whole.begin.value : piece;
        std::uint64_t const end = piece + huge_page_bytes < whole.end() ? piece + huge_page_bytes : whole.end();
        PageRange const range{Gpa{begin}, end - begin};
        ranges_[(first_ + count_++) % capacity] = range;
        return range;
    }
    /// The oldest; not empty() before.
    PageRange take()
    {
        PageRange const range = ranges_[first_];
        first_ = (first_ + 1) % capacity;
        --count_;
        return range;
    }

private:
    std::array<PageRange, capacity> ranges_{};
    std::size_t first_ = 0, count_ = 0;
};

} // namespace undercroft::memory
