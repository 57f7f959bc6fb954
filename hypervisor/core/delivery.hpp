// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// When a CPU sends records on: at exits that happen anyway, and, while something waits, by the processor's
// own timer (Intel's preemption timer; the machine's timers are the guest's). AMD has none. While the memory monitor
// runs, the sensor's network card may serve as one (net/card_timer.hpp); else two exits are armed instead, the next
// HLT/MWAIT and the next physical interrupt.
//   - a record that finds the sender quiet for send_delay leaves at once; later ones batch
// Without a timer:
//   - while disk commands are outstanding nothing is armed: their completion exits anyway
//   - when the last command has completed and something waits, HLT and interrupts are armed
//   - while the memory monitor wants exits at certain times, interrupts are armed at every exit; the one that is let
//     through is followed by an exit as soon as the guest can take another
//   - at HLT the guest idles: everything is sent and acknowledgements are awaited, until a
//     physical interrupt is pending or nothing has moved for a while; then the guest halts natively
#include <algorithm>
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/backend/backend.hpp"

namespace undercroft::core {

/// The sender, shared by all CPUs, as delivery sees it.
class DeliveryWork {
public:
    /// Records that have not been handed to the network card yet.
    [[nodiscard]] virtual bool unsent() const = 0;
    /// Records sent but not acknowledged yet, or something else that the network is to bring: an answer, a release.
    [[nodiscard]] virtual bool unacknowledged() const = 0;
    /// Closed slots wait to be sent: sending them needs no company any more.
    [[nodiscard]] virtual bool backlog() const = 0;
    /// Acknowledgements and other answers so far.
    [[nodiscard]] virtual std::uint64_t answers() const = 0;
    /// Sends what is due (all of it when `everything`), receives, retransmits. Bounded. False: another
    /// CPU is at it.
    virtual bool poll(Tsc now, bool everything) = 0;

protected:
    ~DeliveryWork() = default;
};

inline constexpr Tsc no_time{~0ULL};

/// The CPU and machine around it.
class DeliveryHost {
public:
    [[nodiscard]] virtual Tsc now() const = 0;
    /// A physical interrupt waits for this CPU (its local APIC's IRR is not empty).
    [[nodiscard]] virtual bool interrupt_waits() const = 0;
    /// Disk commands that have been issued and whose completion the guest has not acknowledged.
    [[nodiscard]] virtual bool commands_outstanding() const = 0;
    /// The memory monitor wants to be called by then, at an exit or from an idle CPU. no_time: it wants nothing.
    [[nodiscard]] virtual Tsc monitor_due() const { return no_time; }
    virtual void run_monitor(Tsc now) { (void)now; }
    /// Some CPU exits by about `due`; asked for anew after each exit. False: do not rely on it.
    virtual bool wake_by(Tsc due, Tsc now)
    {
        (void)due, (void)now;
        return false;
    }

protected:
    ~DeliveryHost() = default;
};

struct DeliveryTiming {
    std::uint64_t send_delay_ticks; ///< longest time a record waits for company while exits happen
    std::uint64_t backlog_ticks;    ///< the same while full slots wait
    std::uint64_t repeat_ticks;     ///< how often a busy CPU exits only to look for lost datagrams
    std::uint64_t keep_alive_ticks; ///< how often status, clock and address are looked after when no record waits
    std::uint64_t idle_check_ticks; ///< how often an idle CPU in the sensor looks for interrupts and answers
    std::uint64_t idle_slice_ticks; ///< longest time an idle CPU stays in the sensor without an answer
};

template <backend::VirtualCpu C>
class Delivery {
public:
    Delivery(C& cpu, DeliveryWork& work, DeliveryHost& host, DeliveryTiming timing)
        : cpu_{&cpu}, work_{&work}, host_{&host}, timing_{timing}
    {
    }

    /// After each exit, before the guest goes on.
    void after_exit(backend::ExitKind kind)
    {
        bool const sending = work_->unsent() || work_->unacknowledged();
        bool const monitoring = host_->monitor_due() != no_time;
        if (!sending)
            keep_alive();
        if (!sending && !monitoring) {
            if (!work_->unacknowledged()) { // as keep_alive has left it
                arm(false, false);
                disarm_timer();
            }
            return;
        }
        if (kind == backend::ExitKind::halt) {
            serve_idle();
            bool const timer = monitoring && wait_by_timer(true, work_->unsent(), host_->now());
            arm(false, !timer && (monitoring || work_->unsent() || work_->unacknowledged()));
            return;
        }
        Tsc const now = host_->now();
        if (kind == backend::ExitKind::interrupt) {
            // Let this interrupt through; what was unsent is sent now.
            if (sending) {
                work_->poll(now, true);
                last_poll_ = now;
            }
            last_interrupt_ = now;
            arm(sending || wants_idle(now), false);
            if (monitoring && !wait_by_timer(true, work_->unsent(), host_->now()))
                (void)cpu_->exit_when_interruptible();
            return;
        }
        bool const polls = sending && (kind == backend::ExitKind::timer || due(now));
        if (polls) {
            work_->poll(now, true);
            last_poll_ = now;
        }
        bool const unsent = work_->unsent();
        if (wait_by_timer(polls || kind == backend::ExitKind::timer, unsent, now)) {
            // A CPU of its own timer needs no more. The card calls another: an idle one's time is of use still.
            arm(!timer_armed_ && (unsent || work_->unacknowledged() || wants_idle(now)), false);
            return;
        }
        if (monitoring)
            return arm(unsent || work_->unacknowledged() || wants_idle(now), true);
        bool const idle_disk = !host_->commands_outstanding();
        // Repeats after a loss may wait a little longer than first transmissions.
        bool const repeats_due = work_->unacknowledged() && now.value - last_interrupt_.value >= timing_.repeat_ticks;
        arm(idle_disk && (unsent || work_->unacknowledged()), idle_disk && (unsent || repeats_due));
    }

private:
    [[nodiscard]] bool due(Tsc now) const { return now.value - last_poll_.value >= send_interval(); }

    [[nodiscard]] std::uint64_t send_interval() const
    {
        return work_->backlog() ? timing_.backlog_ticks : timing_.send_delay_ticks;
    }

    /// An idle CPU's time is of use to the monitor: it has work now, or so soon that waiting for it costs little.
    [[nodiscard]] bool wants_idle(Tsc now) const
    {
        Tsc const due = host_->monitor_due();
        return due != no_time && static_cast<std::int64_t>(due.value - now.value) <
                                     static_cast<std::int64_t>(timing_.idle_slice_ticks / 4);
    }

    /// The timer goes off when the next sending or repeating, or the monitor, is due. False: there is none. The card
    /// does for the monitor only: for single records its calls would be exits that others make superfluous.
    bool wait_by_timer(bool again, bool unsent, Tsc now)
    {
        bool const sending = unsent || work_->unacknowledged();
        Tsc const monitor = host_->monitor_due();
        if (!sending && monitor == no_time) {
            disarm_timer();
            return false;
        }
        std::uint64_t const interval = unsent ? send_interval() : timing_.repeat_ticks;
        bool const sooner = timer_armed_ && monitor.value < timer_at_.value;
        if (!again && !sooner && timer_armed_)
            return true;
        // A monitor that has work now leaves the guest some time nevertheless.
        std::uint64_t const due = std::max(monitor.value - std::min(monitor, now).value, timing_.idle_check_ticks);
        std::uint64_t const ticks = !sending ? due : monitor == no_time ? interval : std::min(interval, due);
        timer_at_ = Tsc{now.value + ticks};
        timer_armed_ = cpu_->arm_timer(ticks);
        return timer_armed_ || (monitor != no_time && host_->wake_by(timer_at_, now));
    }

    void disarm_timer()
    {
        if (timer_armed_)
            (void)cpu_->arm_timer(0);
        timer_armed_ = false;
    }

    /// Status, clock, address: looked after about once a second even when no record waits.
    void keep_alive()
    {
        Tsc const now = host_->now();
        if (now.value - last_poll_.value < timing_.keep_alive_ticks)
            return;
        work_->poll(now, false);
        last_poll_ = now;
        // It may have asked for the time: how late the answer is noticed decides how good it is.
        if (work_->unacknowledged())
            arm(true, true);
    }

    /// Only the CPU that sends waits, and only for a collector that has answered since the last
    /// time it was waited for in vain.
    void serve_idle()
    {
        Tsc now = host_->now();
        Tsc last_answer = now;
        std::uint64_t answers = work_->answers();
        last_poll_ = now;
        bool sends = work_->poll(now, true) && answers != answers_after_waiting_in_vain_;
        while ((sends && (work_->unsent() || work_->unacknowledged())) || wants_idle(now)) {
            if (host_->interrupt_waits())
                return;
            if (wants_idle(now))
                host_->run_monitor(now);
            Tsc const checked = now;
            while (now.value - checked.value < timing_.idle_check_ticks)
                now = host_->now();
            last_poll_ = now;
            if (!work_->poll(now, true))
                return;
            if (work_->answers() != answers) {
                answers = work_->answers();
                last_answer = now;
            } else if (sends && now.value - last_answer.value >= timing_.idle_slice_ticks) {
                answers_after_waiting_in_vain_ = answers;
                sends = false;
            }
        }
    }

    void arm(bool halt, bool interrupts)
    {
        if (halt != halt_armed_)
            cpu_->intercept_halt(halt_armed_ = halt);
        if (interrupts != interrupts_armed_)
            cpu_->intercept_interrupts(interrupts_armed_ = interrupts);
    }

    C* cpu_;
    DeliveryWork* work_;
    DeliveryHost* host_;
    DeliveryTiming timing_;
    Tsc last_poll_{};
    Tsc last_interrupt_{}; ///< last exit for an armed interrupt
    std::uint64_t answers_after_waiting_in_vain_ = ~0ULL;
    Tsc timer_at_{}; ///< when it is armed
    bool halt_armed_ = false, interrupts_armed_ = false, timer_armed_ = false;
};

} // namespace undercroft::core
