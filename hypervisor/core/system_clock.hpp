// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/mul_div.hpp"
#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {

class SystemClock final : public Clock {
public:
    void configure(std::uint64_t tsc_hz, Tsc at, UtcNs utc) { hz_ = tsc_hz, at_ = at, utc_ = utc; }
    [[nodiscard]] Tsc tsc() const override { return Tsc{read_tsc()}; }
    [[nodiscard]] std::uint64_t tsc_hz() const override { return hz_; }
    [[nodiscard]] UtcNs utc(Tsc at) const override
    {
        return UtcNs{utc_.value + mul_div(at.value - at_.value, 1'000'000'000, hz_)};
    }
    [[nodiscard]] bool synchronised() const override { return false; }

private:
    std::uint64_t hz_ = 1;
    Tsc at_{};
    UtcNs utc_{};
};

} // namespace undercroft::core
