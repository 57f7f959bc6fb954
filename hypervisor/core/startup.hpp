// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// How one CPU calls another: it posts a request and sends a physical NMI; the target exits
// and looks here. INIT and SIPI of the guest never reach the hardware: some processors and
// emulators would drop the target out of guest mode for good.
#include <algorithm>
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
    /// "Stay out of the guest until release()."
    void post_hold() { hold_.store(true, std::memory_order_seq_cst); }
    void release() { hold_.store(false, std::memory_order_release); }
    [[nodiscard]] bool held() const { return hold_.load(std::memory_order_acquire); }
    [[nodiscard]] bool pending() const { return flush_pending() || held() || startup.needs_attention(); }

    /// Before an NMI is sent to this CPU for a request. They are repeated until the request is taken, so some
    /// come late and find nothing.
    void note_kick(std::uint64_t tsc)
    {
        last_kick_.store(tsc, std::memory_order_relaxed);
        kicks_.fetch_add(1, std::memory_order_release);
    }
    /// After it was sent.
    void note_sent() { kicks_sent_.fetch_add(1, std::memory_order_release); }
    /// For each NMI that this CPU takes: true when it is a call; false: it is the guest's own. NMIs that meet a
    /// pending one merge with it. So one comes for sure after each call, however late (an emulator's CPU may stand
    /// still for long), and besides the one that is taken at most one more waits, and those that are not sent yet (the
    /// caller may stand still, too); whether it does is not known, and what has not come `patience` ticks after the
    /// last call was sent never will.
    [[nodiscard]] bool take_kick(std::uint64_t tsc, std::uint64_t patience)
    {
        std::uint32_t const sent = kicks_sent_.load(std::memory_order_acquire); // before kicks_: never more than these
        std::uint32_t const kicks = kicks_.load(std::memory_order_acquire);
        std::uint32_t const unsent = kicks - sent;
        // Signed: the last one may have been noted after `tsc` was read.
        auto const age = static_cast<std::int64_t>(tsc - last_kick_.load(std::memory_order_relaxed));
        bool const sent_since = kicks != kicks_at_last_nmi_;
        kicks_at_last_nmi_ = kicks;
        if (!sent_since && age >= static_cast<std::int64_t>(patience))
            kicks_taken_ = kicks - std::min(kicks - kicks_taken_, unsent);
        if (kicks_taken_ == kicks)
            return false;
        kicks_taken_ = kicks - std::min(kicks - kicks_taken_ - 1, unsent + 1);
        return true;
    }

    /// Before the last look at what other CPUs ask for: from here until the guest is left, a request needs an NMI.
    void announce_entry() { in_guest_.store(true, std::memory_order_seq_cst); }
    void withdraw_entry() { in_guest_.store(false, std::memory_order_release); }
    /// False: this CPU looks at its requests before it enters the guest again.
    [[nodiscard]] bool in_guest() const { return in_guest_.load(std::memory_order_seq_cst); }

private:
    std::atomic<std::uint64_t> last_kick_{0};
    std::atomic<bool> in_guest_{false};
    std::atomic<std::uint32_t> kicks_{0}, kicks_sent_{0};
    std::uint32_t kicks_taken_ = 0, kicks_at_last_nmi_ = 0; ///< this CPU's own
    std::atomic<bool> flush_{false};
    std::atomic<bool> hold_{false};
};

} // namespace undercroft::core
