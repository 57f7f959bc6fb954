// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What every card driver needs: typed registers over a bus, waiting, and order between its
// memory and what the card sees.
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/mmio.hpp"

namespace undercroft::net {

/// Window wants typed accesses; MmioBus has widths.
struct MmioRegisters {
    core::MmioBus* mmio;
    template <typename T>
    [[nodiscard]] T load(std::size_t offset) const
    {
        return static_cast<T>(mmio->load(offset, sizeof(T)));
    }
    template <typename T>
    void store(std::size_t offset, T value) const
    {
        mmio->store(offset, sizeof(T), value);
    }
};

inline void wait_us(core::Clock const& clock, std::uint64_t microseconds)
{
    std::uint64_t const ticks = microseconds * (clock.tsc_hz() / 1'000'000);
    for (Tsc const start = clock.tsc(); clock.tsc().value - start.value < ticks;)
        __builtin_ia32_pause();
}

/// Memory is identity-mapped.
inline std::uint64_t physical(void const volatile* address)
{
    return reinterpret_cast<std::uintptr_t>(address);
}

/// Keeps what is written before a doorbell, and what is read after "done", on its side of it: x86 itself keeps stores,
/// and loads, in order.
inline void compiler_barrier()
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// A store before it is seen by the card before a load after it is made.
inline void full_barrier()
{
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

} // namespace undercroft::net
