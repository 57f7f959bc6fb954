// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace undercroft::core {

/// Hands out the sensor's own memory, once, while it starts. Nothing is given back.
class Region {
public:
    constexpr Region() = default;
    Region(std::uint64_t start, std::uint64_t end) : next_{start}, end_{end} {}

    /// Zeroed memory, or nullptr when the region is used up. align is a power of two.
    [[nodiscard]] void* allocate(std::uint64_t bytes, std::uint64_t align = 64)
    {
        std::uint64_t const at = (next_ + align - 1) & ~(align - 1);
        if (at < next_ || at > end_ || bytes > end_ - at)
            return nullptr;
        next_ = at + bytes;
        return reinterpret_cast<void*>(at);
    }
    template <typename T, typename... A>
    [[nodiscard]] T* make(A&&... arguments)
    {
        void* const memory = allocate(sizeof(T), alignof(T) > 64 ? alignof(T) : 64);
        return memory == nullptr ? nullptr : new (memory) T(std::forward<A>(arguments)...);
    }
    [[nodiscard]] std::uint64_t left() const { return end_ - next_; }

private:
    std::uint64_t next_ = 0, end_ = 0;
};

} // namespace undercroft::core
