// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <atomic>
#include <cstdint>

#include "wire/counters.hpp"

namespace undercroft::core {

/// All counters of the sensor, one 64-bit cell per id; relaxed, any CPU.
class Counters {
public:
    void add(wire::CounterId id, std::uint64_t n = 1)
    {
        cells_[static_cast<std::uint16_t>(id)].fetch_add(n, std::memory_order_relaxed);
    }
    void set(wire::CounterId id, std::uint64_t value)
    {
        cells_[static_cast<std::uint16_t>(id)].store(value, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t get(wire::CounterId id) const
    {
        return cells_[static_cast<std::uint16_t>(id)].load(std::memory_order_relaxed);
    }

private:
    static constexpr std::size_t capacity = 192;
#define X(id, name, text) static_assert((id) < capacity);
    UNDERCROFT_COUNTERS(X)
#undef X
    std::array<std::atomic<std::uint64_t>, capacity> cells_{};
};

} // namespace undercroft::core
