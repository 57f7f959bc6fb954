// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/mul_div.hpp"
#include "base/units.hpp"

namespace undercroft::memory {

/// Something may be used up at a steady rate. What is taken is known only afterwards: the bucket may fall below
/// empty, and is then not open until it has filled again.
class TokenBucket {
public:
    /// Per second of `ticks_per_second`; never holds more than `burst`. Starts empty.
    void configure(std::uint64_t per_second, std::uint64_t burst, std::uint64_t ticks_per_second, Tsc now)
    {
        per_second_ = per_second;
        burst_ = static_cast<std::int64_t>(burst);
        ticks_per_second_ = ticks_per_second;
        filled_ = now;
        level_ = 0;
    }
    void fill_up() { level_ = burst_; }
    [[nodiscard]] bool open(Tsc now)
    {
        fill(now);
        return level_ > 0;
    }
    /// When it will be open if nothing more is taken.
    [[nodiscard]] Tsc opens_at(Tsc now) { return reaches_at(1, now); }
    /// When so much will be there, the burst at most, if nothing more is taken.
    [[nodiscard]] Tsc reaches_at(std::int64_t level, Tsc now)
    {
        fill(now);
        level = std::min(level, burst_);
        if (level_ >= level)
            return now;
        return Tsc{filled_.value + mul_div(static_cast<std::uint64_t>(level - level_), ticks_per_second_, per_second_) +
                   1};
    }
    [[nodiscard]] std::int64_t burst() const { return burst_; }
    void take(std::uint64_t amount) { level_ -= static_cast<std::int64_t>(amount); }
    [[nodiscard]] std::int64_t level() const { return level_; }

private:
    void fill(Tsc now)
    {
        auto const ticks = static_cast<std::int64_t>(now.value - filled_.value);
        if (ticks <= 0) // another CPU's clock may be a little behind
            return;
        // A second is the longest time that counts: nothing overflows, and bursts are shorter.
        if (static_cast<std::uint64_t>(ticks) > ticks_per_second_)
            filled_ = Tsc{now.value - ticks_per_second_};
        std::uint64_t const tokens = mul_div(now.value - filled_.value, per_second_, ticks_per_second_);
        if (tokens == 0)
            return;                                                       // wait for a whole one
        filled_.value += mul_div(tokens, ticks_per_second_, per_second_); // what is left counts the next time
        level_ = std::min(burst_, level_ + static_cast<std::int64_t>(tokens));
    }

    std::uint64_t per_second_ = 0;
    std::int64_t burst_ = 0;
    std::uint64_t ticks_per_second_ = 1;
    Tsc filled_{};
    std::int64_t level_ = 0;
};

} // namespace undercroft::memory
