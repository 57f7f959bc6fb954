// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What modes have in common when they judge a request.
#include <cstdint>
#include <span>

#include "hypervisor/memory/page_view.hpp"
#include "wire/memory.hpp"

namespace undercroft::memory {

/// The range that is asked for: page-aligned, no overflow, and some of it usable RAM; 0 bytes ask for all of it.
/// False: it is none.
inline bool read_range(wire::MemoryRequest const& request, std::span<PageRange const> usable, PageRange& range)
{
    std::uint64_t const begin = request.range_begin.get(), bytes = request.range_bytes.get();
    if (usable.empty() || ((begin | bytes) & (page_bytes - 1)) != 0 || begin + bytes < begin ||
        (bytes == 0 && begin != 0))
        return false;
    if (bytes == 0) {
        range = {usable.front().begin, usable.back().end() - usable.front().begin.value};
        return true;
    }
    range = {Gpa{begin}, bytes};
    for (PageRange const& ram : usable)
        if (ram.begin.value < range.end() && begin < ram.end())
            return true;
    return false;
}

/// Calls visit(PageRange) for the usable RAM inside `range`.
template <typename Visit>
void for_each_usable(std::span<PageRange const> usable, PageRange range, Visit&& visit)
{
    for (PageRange const& ram : usable) {
        std::uint64_t const begin = ram.begin.value > range.begin.value ? ram.begin.value : range.begin.value;
        std::uint64_t const end = ram.end() < range.end() ? ram.end() : range.end();
        if (begin < end)
            visit(PageRange{Gpa{begin}, end - begin});
    }
}

} // namespace undercroft::memory
