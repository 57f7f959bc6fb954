// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// How one CPU calls another: it posts a request and sends a physical NMI; the target exits
// and looks here. INIT and SIPI of the guest never reach the hardware: some processors and
// emulators would drop the target out of guest mode for good.
#include <atomic>
#include <cstdint>

#include "hypervisor/platform/apic.hpp"

namespace undercroft::core {

struct Mailbox {
    /// INIT and SIPI as the guest's interrupt commands ask for them.
    platform::StartupMailbox startup;

    void post_flush() { flush_.store(true, std::memory_order_release); }
    /// "Drop your cached nested translations": taken before the guest is entered.
    [[nodiscard]] bool take_flush() { return flush_.exchange(false, std::memory_order_acq_rel); }
    [[nodiscard]] bool flush_pending() const { return flush_.load(std::memory_order_acquire); }
    [[nodiscard]] bool pending() const { return flush_pending() || startup.needs_attention(); }

    /// When the last NMI was sent to this CPU for a request. NMIs are repeated until the
    /// request is taken, so one may come late and find nothing.
    void note_kick(std::uint64_t tsc) { last_kick_.store(tsc, std::memory_order_release); }
    [[nodiscard]] std::uint64_t last_kick() const { return last_kick_.load(std::memory_order_acquire); }

    /// Before the last look at what other CPUs ask for: from here until the guest is left, a request needs an NMI.
    void announce_entry() { in_guest_.store(true, std::memory_order_seq_cst); }
    void withdraw_entry() { in_guest_.store(false, std::memory_order_release); }
    /// False: this CPU looks at its requests before it enters the guest again.
    [[nodiscard]] bool in_guest() const { return in_guest_.load(std::memory_order_seq_cst); }

private:
    std::atomic<std::uint64_t> last_kick_{0};
    std::atomic<bool> in_guest_{false};
    std::atomic<bool> flush_{false};
};

} // namespace undercroft::core
