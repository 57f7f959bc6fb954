// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Requests from one CPU to another: INIT, SIPI, "drop your cached nested translations".
// The sender sets a bit and sends a physical NMI; the target exits and looks here. INIT and
// SIPI of the guest never reach the hardware: some processors and emulators would drop
// the target out of guest mode for good.
#include <atomic>
#include <cstdint>

namespace undercroft::core {

class Mailbox {
public:
    static constexpr std::uint32_t init = 1U << 0, sipi = 1U << 1, flush = 1U << 2;

    void post_init()
    {
        // An INIT cancels a SIPI that has not been acted on.
        requests_.fetch_and(~sipi, std::memory_order_acq_rel);
        requests_.fetch_or(init, std::memory_order_acq_rel);
    }
    /// A SIPI that comes before its CPU waits for one stays queued; the first of several counts.
    void post_sipi(std::uint8_t vector)
    {
        if ((requests_.load(std::memory_order_acquire) & sipi) != 0)
            return;
        vector_.store(vector, std::memory_order_relaxed);
        requests_.fetch_or(sipi, std::memory_order_acq_rel);
    }
    void post_flush() { requests_.fetch_or(flush, std::memory_order_acq_rel); }

    [[nodiscard]] std::uint32_t pending() const { return requests_.load(std::memory_order_acquire); }
    /// Takes and clears the given bits; returns those that were set.
    std::uint32_t take(std::uint32_t bits) { return requests_.fetch_and(~bits, std::memory_order_acq_rel) & bits; }
    [[nodiscard]] std::uint8_t vector() const { return vector_.load(std::memory_order_relaxed); }

    /// True while the CPU waits for a SIPI; a SIPI sent to a CPU that does not wait and has
    /// no INIT pending is ignored, as by hardware.
    [[nodiscard]] bool waits_for_sipi() const { return waits_.load(std::memory_order_acquire); }
    void set_waits_for_sipi(bool on) { waits_.store(on, std::memory_order_release); }

    /// When the last NMI was sent to this CPU for a request. NMIs are repeated until the
    /// request is taken, so one may come late and find nothing.
    void note_kick(std::uint64_t tsc) { last_kick_.store(tsc, std::memory_order_release); }
    [[nodiscard]] std::uint64_t last_kick() const { return last_kick_.load(std::memory_order_acquire); }

private:
    std::atomic<std::uint64_t> last_kick_{0};
    std::atomic<std::uint32_t> requests_{0};
    std::atomic<std::uint8_t> vector_{0};
    std::atomic<bool> waits_{false};
};

} // namespace undercroft::core
