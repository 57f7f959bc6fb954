// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// UTC as a function of the TSC: two straight pieces, the first one a little steeper or
// flatter to take up a small offset. Written by one CPU, read by all without a lock.
#include <atomic>
#include <cstdint>

#include "base/units.hpp"

namespace undercroft::net {

class TimeLine {
public:
    /// Nanoseconds per tick are in units of 2^-48: within 1 ns over a day at 4 GHz.
    static constexpr unsigned rate_shift = 48;

    struct Pieces {
        Tsc start{}; ///< the first piece begins
        UtcNs start_utc{};
        std::uint64_t slew_rate{}; ///< of the first piece
        Tsc bend{};                ///< the second piece begins
        UtcNs bend_utc{};
        std::uint64_t rate{}; ///< of the second piece
    };

    void publish(Pieces const& pieces)
    {
        std::uint64_t const generation = generation_.load(std::memory_order_relaxed);
        generation_.store(generation + 1, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        start_.store(pieces.start.value, std::memory_order_relaxed);
        start_utc_.store(pieces.start_utc.value, std::memory_order_relaxed);
        slew_rate_.store(pieces.slew_rate, std::memory_order_relaxed);
        bend_.store(pieces.bend.value, std::memory_order_relaxed);
        bend_utc_.store(pieces.bend_utc.value, std::memory_order_relaxed);
        rate_.store(pieces.rate, std::memory_order_relaxed);
        generation_.store(generation + 2, std::memory_order_release);
    }

    [[nodiscard]] Pieces pieces() const
    {
        for (;;) {
            std::uint64_t const before = generation_.load(std::memory_order_acquire);
            Pieces const read{
                Tsc{start_.load(std::memory_order_relaxed)},      UtcNs{start_utc_.load(std::memory_order_relaxed)},
                slew_rate_.load(std::memory_order_relaxed),       Tsc{bend_.load(std::memory_order_relaxed)},
                UtcNs{bend_utc_.load(std::memory_order_relaxed)}, rate_.load(std::memory_order_relaxed)};
            std::atomic_thread_fence(std::memory_order_acquire);
            if ((before & 1) == 0 && generation_.load(std::memory_order_relaxed) == before)
                return read;
            __builtin_ia32_pause();
        }
    }

    [[nodiscard]] UtcNs utc(Tsc at) const { return utc(pieces(), at); }

    /// A reading from before the first piece (another CPU's, taken earlier) is extended backwards.
    [[nodiscard]] static UtcNs utc(Pieces const& pieces, Tsc at)
    {
        return at < pieces.bend ? along(pieces.start_utc, pieces.start, pieces.slew_rate, at)
                                : along(pieces.bend_utc, pieces.bend, pieces.rate, at);
    }

    [[nodiscard]] static UtcNs along(UtcNs from_utc, Tsc from, std::uint64_t rate, Tsc at)
    {
        auto const ticks = static_cast<std::int64_t>(at.value - from.value);
        __int128 const scaled = static_cast<__int128>(ticks) * static_cast<std::int64_t>(rate);
        return UtcNs{from_utc.value + static_cast<std::uint64_t>(static_cast<std::int64_t>(scaled >> rate_shift))};
    }

private:
    std::atomic<std::uint64_t> generation_{0}; ///< odd while being written
    std::atomic<std::uint64_t> start_{0}, start_utc_{0}, slew_rate_{0}, bend_{0}, bend_utc_{0}, rate_{0};
};

} // namespace undercroft::net
