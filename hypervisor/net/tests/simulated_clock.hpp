// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/core/clock.hpp"

namespace undercroft::net {

/// One tick is one nanosecond.
struct SimulatedClock final : core::Clock {
    std::uint64_t now = 1'000'000'000;
    Tsc tsc() const override { return Tsc{now}; }
    std::uint64_t tsc_hz() const override { return 1'000'000'000; }
    UtcNs utc(Tsc at) const override { return UtcNs{1'700'000'000'000'000'000 + at.value}; }
    bool synchronised() const override { return true; }
};

} // namespace undercroft::net
