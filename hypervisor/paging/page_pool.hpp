// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/units.hpp"

namespace undercroft::paging {

/// Page-table pages out of one block of memory that the caller gives. Pages are never
/// handed back: a table that another CPU may still be walking must not be reused.
/// `host_offset` is host-physical minus virtual address of the block (0 when identity-mapped).
class PagePool {
public:
    constexpr PagePool() = default;
    /// `memory` is page-aligned; its contents do not matter.
    PagePool(void* memory, std::size_t pages, std::uint64_t host_offset = 0)
        : next_{static_cast<std::byte*>(memory)}, available_{pages}, host_offset_{host_offset}
    {
    }
    [[nodiscard]] std::size_t available() const { return available_; }
    /// A zeroed page, or nullptr.
    [[nodiscard]] std::uint64_t* allocate()
    {
        if (available_ == 0)
            return nullptr;
        auto* page = reinterpret_cast<std::uint64_t*>(next_);
        std::memset(page, 0, page_bytes);
        next_ += page_bytes;
        --available_;
        return page;
    }
    [[nodiscard]] std::uint64_t host_address(std::uint64_t const* page) const
    {
        return reinterpret_cast<std::uint64_t>(page) + host_offset_;
    }
    [[nodiscard]] std::uint64_t* pointer(std::uint64_t host) const
    {
        return reinterpret_cast<std::uint64_t*>(host - host_offset_);
    }

private:
    std::byte* next_ = nullptr;
    std::size_t available_ = 0;
    std::uint64_t host_offset_ = 0;
};

} // namespace undercroft::paging
