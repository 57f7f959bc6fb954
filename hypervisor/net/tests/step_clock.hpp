// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/core/clock.hpp"

namespace undercroft::net {

/// Waits end at once: each look at it is 10 us later.
struct StepClock final : core::Clock {
    mutable std::uint64_t now = 0;
    Tsc tsc() const override { return Tsc{now += 10000}; }
    std::uint64_t tsc_hz() const override { return 1'000'000'000; }
    UtcNs utc(Tsc at) const override { return UtcNs{at.value}; }
    bool synchronised() const override { return false; }
};

} // namespace undercroft::net
