// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory monitor: starts and stops modes, leads nested faults and time to their engines, and puts the guest's CPUs
// on the monitored view while one of them needs it.
#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/monitored_view.hpp"

namespace undercroft::memory {

/// Which view the guest's CPUs run on.
class ViewSwitch {
public:
    /// All CPUs run on it, with nothing cached of another, when this returns.
    virtual void use(ViewUse use) = 0;

protected:
    ~ViewSwitch() = default;
};

struct MonitorParts {
    MonitoredView* view; ///< nullptr: none was set aside; nothing can be started then
    MemoryStream* stream;
    ViewSwitch* view_switch;
    core::Clock const* clock;
    core::Counters* counters;
    std::uint16_t missing; ///< wire::memory_lack bits
};

class Monitor final : public CpuProgress {
public:
    explicit Monitor(MonitorParts const& parts) : parts_{parts} {}

    /// Before the first request.
    void add(wire::MemoryMode mode, Engine& engine) { modes_[index_of(mode)].engine = &engine; }

    // Any CPU, any time.
    /// The request may be hostile: it is judged here, from the caller's own copy.
    [[nodiscard]] wire::ControlResult request(wire::MemoryRequest request);
    void status(std::span<wire::MemoryStatus, wire::memory_modes> into);
    [[nodiscard]] bool running() const { return running_.load(std::memory_order_relaxed) != 0; }

    // From the exit loop, on the CPU concerned.
    /// True: the guest goes on with the instruction.
    [[nodiscard]] bool fault(Fault const& fault);
    void note_exit(std::uint16_t cpu, std::uint64_t position);
    /// So long a CPU was away from the sensor, in ticks.
    void note_away(std::uint64_t ticks)
    {
        if (ticks < cheapest_exit_.load(std::memory_order_relaxed))
            cheapest_exit_.store(ticks, std::memory_order_relaxed);
    }
    [[nodiscard]] std::atomic<std::uint64_t> const& cheapest_exit() const { return cheapest_exit_; }
    /// After an exit was dealt with: turns and what is due.
    void after_exit(std::uint16_t cpu, Tsc now);
    [[nodiscard]] Tsc due() const { return Tsc{due_.load(std::memory_order_relaxed)}; }
    /// Does what is due; returns at once when another CPU is at it.
    void tick(Tsc now);
    void device_write(PageRange range, std::uint16_t cpu, Tsc now);

    // CpuProgress
    [[nodiscard]] std::uint64_t left_fault(std::uint16_t cpu) const override
    {
        return positions_[cpu].left.load(std::memory_order_acquire);
    }

private:
    struct Mode {
        Engine* engine = nullptr;
        wire::MemoryRequest request{}; ///< as it runs
        bool runs = false;
        ViewUse use = ViewUse::none;
        Tsc due = never;
        std::uint64_t faults = 0, ticks = 0;
    };
    struct alignas(64) Position {
        std::uint64_t at_fault = 0; ///< this CPU's own
        std::uint64_t now = 0;
        std::atomic<std::uint64_t> left{0};
    };

    static std::size_t index_of(wire::MemoryMode mode) { return static_cast<std::size_t>(mode) - 1; }
    [[nodiscard]] wire::ControlResult start(std::size_t index, wire::MemoryRequest request, Tsc now);
    void stop(std::size_t index, Tsc now);
    void say_mode(Mode const& mode, wire::MemoryAction action, Tsc now);
    void change_view();
    void changed();
    [[nodiscard]] Mode* view_user();
    /// Runs `work` for a mode and counts its time.
    template <typename Work>
    void timed(Mode& mode, Tsc now, Work&& work);

    MonitorParts parts_;
    std::array<Mode, wire::memory_modes> modes_{};
    ViewUse use_ = ViewUse::none;
    core::Spinlock lock_; ///< engines are called one at a time; the view's own lock is below it
    std::atomic<std::uint32_t> running_{0};
    std::atomic<bool> wants_turns_{false};
    std::atomic<std::uint64_t> cheapest_exit_{~0ULL};
    std::atomic<std::uint64_t> due_{never.value};
    std::array<Position, boot::max_cpus> positions_{};
};

} // namespace undercroft::memory
