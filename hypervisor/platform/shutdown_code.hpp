// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The shutdown status byte in the real-time clock's memory. By the universal start-up algorithm (Intel
// MultiProcessor Specification 1.4, appendix B.4) a system writes 0Ah there before it sends INIT to a CPU, and
// something else when that CPU runs: the announcement of a CPU start that costs nothing to watch for.
#include <atomic>
#include <cstdint>
#include <optional>

#include "hypervisor/platform/power.hpp"

namespace undercroft::platform {

/// Follows writes to the clock's index and data ports. One for the machine, as the index register is.
class ShutdownCode {
public:
    static constexpr PortRange ports{0x70, 2};
    static constexpr std::uint8_t warm_start = 0x0A; ///< jump through 40h:67h without an EOI

    /// For every intercepted write: the byte's new value if it is written here.
    [[nodiscard]] std::optional<std::uint8_t> written(std::uint16_t port, unsigned width, std::uint32_t value);

private:
    std::atomic<std::uint8_t> index_{0};
};

} // namespace undercroft::platform
