// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/card_timer.hpp"

#include <algorithm>

#include "hypervisor/core/log.hpp"
#include "hypervisor/net/e1000_registers.hpp"

namespace undercroft::net {

using namespace e1000;

namespace {

/// Small packets received: the card itself never raises it, because the size that counts as small is left at 0.
constexpr std::uint32_t cause = 1U << 16;
/// After which an awaited call is given up; an emulator's CPU may stand still for some time.
constexpr std::uint64_t patience_us = 100'000;

} // namespace

CardTimer::CardTimer(core::MmioBus& registers, std::uint64_t tsc_hz) : registers_{&registers}, tsc_hz_{tsc_hz}
{
    Window<MmioRegisters>{registers_}.write<InterruptMaskSet>(cause);
}

bool CardTimer::wake_by(Tsc due, Tsc now)
{
    if (!lock_.try_lock()) // another CPU asks
        return works_.load(std::memory_order_relaxed);
    if (!awaited_) {
        std::uint64_t const wanted =
            std::clamp(due.value - std::min(due, now).value, ticks(shortest_us), ticks(longest_us));
        Window<MmioRegisters> const card{registers_};
        if (wanted != interval_) {
            constexpr std::uint64_t unit_ns = 256;
            interval_ = wanted;
            card.write<InterruptThrottle>(static_cast<std::uint32_t>(wanted / (tsc_hz_ / 1'000'000) * 1000 / unit_ns));
        }
        bool const spaced = now.value - last_.value < running_;
        expected_ = spaced ? Tsc{last_.value + running_} : now;
        awaited_ = true;
        card.write<InterruptCauseSet>(cause);
    } else if (static_cast<std::int64_t>(now.value - expected_.value) > static_cast<std::int64_t>(ticks(patience_us)) &&
               works_.exchange(false, std::memory_order_relaxed)) {
        core::log(core::LogLevel::warning,
                  core::str("the network card's NMI does not come: interrupts are watched instead"));
    }
    bool const works = works_.load(std::memory_order_relaxed);
    lock_.unlock();
    return works;
}

bool CardTimer::take(Tsc now)
{
    core::SpinGuard const guard{lock_};
    if (!awaited_)
        return false;
    Window<MmioRegisters>{registers_}.acknowledge<InterruptCauseClear>(cause);
    awaited_ = false;
    last_ = now;
    running_ = interval_;
    works_.store(true, std::memory_order_relaxed);
    return true;
}

} // namespace undercroft::net
