// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A timer for processors whose virtualisation has none (AMD): the sensor's own 82574 calls one CPU by NMI, which exits.
// The card has no timer either, but it spaces its interrupts: one that its driver asks for (ICS) while the interval
// since the last one is not over comes at that interval's end. [82574] 7.4.4 (throttling), 10.2.4.1 (ICR), .2 (ITR), .3
// (ICS), .5 (IMS).
#include <atomic>
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/net/device_access.hpp"

namespace undercroft::net {

/// Any CPU may ask for a wake-up; all wake up the one CPU that the card's message calls.
class CardTimer {
public:
    /// Longest and shortest time between two calls. The register takes 16.7 ms; more than 250 calls a second would cost
    /// what a guest's ticks do.
    static constexpr std::uint64_t longest_us = 16'000, shortest_us = 4'000;

    /// `registers`: BAR 0 of a card that has been started and whose message is an NMI (platform::call_by_nmi).
    CardTimer(core::MmioBus& registers, std::uint64_t tsc_hz);

    /// An NMI will come by `due`, or shortest_us after the last one, or longest_us from now, whichever is in between.
    /// False: do not rely on it, because none has come yet, or the last one is long overdue.
    bool wake_by(Tsc due, Tsc now);
    /// On the CPU that is called, for each NMI that it takes: true when it is the card's. One that comes while the
    /// card's is awaited cannot be told from it: the guest gets the second of the two, if both come.
    [[nodiscard]] bool take(Tsc now);

private:
    [[nodiscard]] std::uint64_t ticks(std::uint64_t microseconds) const { return tsc_hz_ / 1'000'000 * microseconds; }

    MmioRegisters registers_;
    std::uint64_t tsc_hz_;
    core::Spinlock lock_;
    std::atomic<bool> works_{false};
    bool awaited_ = false;
    Tsc expected_{};             ///< when the awaited one comes
    Tsc last_{};                 ///< when the last one was taken
    std::uint64_t interval_ = 0; ///< in ticks, of the card's register: counts from the next call on
    std::uint64_t running_ = 0;  ///< in ticks, since last_
};

} // namespace undercroft::net
