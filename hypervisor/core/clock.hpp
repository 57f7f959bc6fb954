// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/units.hpp"

namespace undercroft::core {

/// Time sources; on hardware RDTSC and net/clock.hpp, in tests a model.
class Clock {
public:
    [[nodiscard]] virtual Tsc tsc() const = 0;
    /// TSC ticks per second, measured at start; never 0.
    [[nodiscard]] virtual std::uint64_t tsc_hz() const = 0;
    /// UTC of a TSC reading: last SNTP answer plus TSC, or the firmware's clock before the first.
    [[nodiscard]] virtual UtcNs utc(Tsc at) const = 0;
    [[nodiscard]] virtual bool synchronised() const = 0;

protected:
    ~Clock() = default;
};

} // namespace undercroft::core
