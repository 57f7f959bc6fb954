// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>

namespace undercroft::net {

/// Round-trip time and retransmission timeout by RFC 6298, in TSC ticks, with
/// bounds for a local network: 20 ms to 2 s, 250 ms before the first sample.
class RttEstimator {
public:
    explicit constexpr RttEstimator(std::uint64_t tsc_hz)
        : min_{tsc_hz / 50}, max_{tsc_hz * 2}, granularity_{tsc_hz / 1000}, timeout_{tsc_hz / 4}
    {
    }

    constexpr void sample(std::uint64_t ticks)
    {
        ticks = std::min(ticks, max_);
        if (smoothed_ == 0) {
            smoothed_ = std::max<std::uint64_t>(ticks, 1);
            variation_ = ticks / 2;
        } else {
            std::uint64_t const error = ticks > smoothed_ ? ticks - smoothed_ : smoothed_ - ticks;
            variation_ = (3 * variation_ + error) / 4;
            smoothed_ = std::max<std::uint64_t>((7 * smoothed_ + ticks) / 8, 1);
        }
        timeout_ = std::clamp(smoothed_ + std::max(granularity_, 4 * variation_), min_, max_);
    }

    /// After `attempts` timeouts in a row.
    [[nodiscard]] constexpr std::uint64_t timeout(unsigned attempts = 0) const
    {
        return std::min(timeout_ << std::min(attempts, 7U), max_);
    }
    [[nodiscard]] constexpr std::uint64_t smoothed() const { return smoothed_; }

private:
    std::uint64_t min_, max_, granularity_;
    std::uint64_t timeout_;
    std::uint64_t smoothed_ = 0, variation_ = 0;
};

} // namespace undercroft::net
