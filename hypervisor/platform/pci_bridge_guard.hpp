// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps the way to the sensor's card open: a bridge above it must go on forwarding, whatever the guest, which sees
// nothing behind that bridge, decides about power, links and windows.
#include "hypervisor/platform/pci.hpp"

namespace undercroft::platform {

/// An address range that a bridge must forward.
struct MemoryRange {
    std::uint64_t first = 0, last = 0; ///< inclusive
    [[nodiscard]] bool empty() const { return first > last || (first == 0 && last == 0); }
};

class BridgeGuard {
public:
    /// \p card: the hidden function's BARs.
    void set_up(PciConfig& config, Bdf bridge, FixedList<Bar, max_bars> const& card);

    /// The value that may be written, or nothing when the write must be dropped. `changed` tells that it differs.
    [[nodiscard]] std::optional<std::uint32_t> judge(PciConfig& config, Bdf bridge, std::uint16_t offset,
                                                     unsigned width, std::uint32_t value, bool& changed) const;

private:
    /// Bits of one byte that stay as they must.
    struct Forced {
        std::uint16_t offset;
        std::uint8_t clear, set;
    };
    [[nodiscard]] bool windows_still_cover(PciConfig& config, Bdf bridge, std::uint16_t offset, unsigned width,
                                           std::uint32_t value) const;
    FixedList<Forced, 8> forced_;
    MemoryRange in_memory_window_, in_prefetchable_window_;
};

} // namespace undercroft::platform
