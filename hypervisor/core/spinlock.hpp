// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <utility>

namespace undercroft::core {

/// Set once a CPU has failed inside the sensor (core/failure.hpp): locks that it holds are never released. Who waits
/// calls this: true lets it through without the lock; parked CPUs never come back from it.
inline std::atomic<bool (*)()> lock_breaker{nullptr};

/// Whoever waits for another CPU asks this: true when it may wait for ever.
[[nodiscard]] inline bool lock_broken()
{
    auto* const breaks = lock_breaker.load(std::memory_order_relaxed);
    return breaks != nullptr && breaks();
}

/// Test-and-test-and-set lock; the sensor runs with interrupts held off, so it
/// is never taken twice on one CPU by an interrupt.
class Spinlock {
public:
    void lock()
    {
        while (!try_lock())
            while (held_.load(std::memory_order_relaxed)) {
                if (lock_broken())
                    return;
                __builtin_ia32_pause();
            }
    }
    [[nodiscard]] bool try_lock() { return !held_.exchange(true, std::memory_order_acquire); }
    void unlock() { held_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> held_{false};
};

class [[nodiscard]] SpinGuard {
public:
    explicit SpinGuard(Spinlock& lock) : lock_{&lock} { lock_->lock(); }
    ~SpinGuard() { lock_->unlock(); }
    SpinGuard(SpinGuard const&) = delete;
    SpinGuard& operator=(SpinGuard const&) = delete;

private:
    Spinlock* lock_;
};

} // namespace undercroft::core
