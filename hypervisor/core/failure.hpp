// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A fault inside the sensor (a bug of ours): who does what then.
#include <atomic>
#include <cstdint>

namespace undercroft::core {

class Failure {
public:
    enum class Role : std::uint8_t {
        wind_up, ///< the first to fail: sends what is left, ends the machine
        end,     ///< it has failed again while winding up: ends the machine at once
        park,    ///< everybody else: does nothing any more
    };
    /// For a CPU that fails, and for one that learns of it. `cpu` is not 0 and tells CPUs apart.
    [[nodiscard]] Role enter(std::uint64_t cpu)
    {
        std::uint64_t first = 0;
        if (owner_.compare_exchange_strong(first, cpu, std::memory_order_acq_rel))
            return Role::wind_up;
        return first == cpu ? Role::end : Role::park;
    }
    [[nodiscard]] bool happened() const { return owner_.load(std::memory_order_acquire) != 0; }
    [[nodiscard]] bool owned_by(std::uint64_t cpu) const { return owner_.load(std::memory_order_acquire) == cpu; }

    /// A sensor that fails soon after every start must not make the machine start for ever.
    static constexpr std::uint64_t least_uptime_to_reset_ms = 60000;
    [[nodiscard]] static bool may_reset(std::uint64_t uptime_ms) { return uptime_ms >= least_uptime_to_reset_ms; }

private:
    std::atomic<std::uint64_t> owner_{0};
};

} // namespace undercroft::core
