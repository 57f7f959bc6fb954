// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One mode of the memory monitor. The monitor (monitor.hpp) owns the view, says memory_mode and memory_region, puts
// the CPUs on the view and calls the engine; never two calls at once, on whichever CPU it happens.
#include <atomic>
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/memory/memory_stream.hpp"
#include "hypervisor/memory/page_view.hpp"
#include "wire/control.hpp"
#include "wire/memory.hpp"

namespace undercroft::memory {

/// What engines work with; given to their constructors.
struct EngineParts {
    PageView* view;
    MemoryStream* stream;
    core::GuestMemory const* memory; ///< the guest's bytes; reading them disturbs neither rights nor bits
    core::Clock const* clock;
    /// The least that leaving the sensor and coming back has taken, in ticks; ~0: not known. nullptr: nobody measures.
    std::atomic<std::uint64_t> const* cheapest_exit = nullptr;
};

/// An access that the monitored view did not allow and the page's rights still do not.
struct Fault {
    Gpa gpa{};
    bool read = false, write = false, fetch = false;
    bool by_page_walk = false; ///< the CPU read or marked guest page tables; AMD calls all of these writes
    std::uint16_t cpu = 0;
    Tsc now{};

    [[nodiscard]] paging::Permissions needed() const { return {!fetch, write, fetch}; }
};

/// What the CPUs run on while a mode runs.
enum class ViewUse : std::uint8_t {
    none,            ///< the plain view: no faults come, no bits are set
    faults,          ///< the monitored view, on Intel without accessed and dirty bits: walks of guest page tables
                     ///< count as reads unless they mark an entry
    faults_and_bits, ///< the monitored view; with the bits, walks count as writes
};

inline constexpr Tsc never{~0ULL};

/// Where a CPU stands, for engines that must know whether an instruction is through.
class CpuProgress {
public:
    /// Rises with each exit of that CPU at which its registers are others than at its last nested fault: the
    /// instruction of that fault is then no longer under way.
    [[nodiscard]] virtual std::uint64_t left_fault(std::uint16_t cpu) const = 0;

protected:
    ~CpuProgress() = default;
};

class Engine {
public:
    /// Judges a request (hostile) and fills in defaults; changes nothing else. done: start() may follow.
    [[nodiscard]] virtual wire::ControlResult judge(wire::MemoryRequest& request) const = 0;
    [[nodiscard]] virtual ViewUse view_use(wire::MemoryRequest const& request) const = 0;

    /// A request that was judged. Called while it runs, too: it changes what it does.
    /// The CPUs run on the view already; all its pages have all rights when the mode was not running.
    virtual void start(wire::MemoryRequest const& request, Tsc now) = 0;
    /// Every right has been given back by the monitor when this returns.
    virtual void stop(Tsc now) = 0;

    /// Grants at least what is needed (the monitor grants everything if it does not). The guest goes on then.
    virtual void on_fault(Fault const& fault) = 0;
    /// A watched disk controller is about to be told to write here; on the CPU that tells it, which waits.
    virtual void on_device_write(PageRange range, std::uint16_t cpu, Tsc now) { (void)range, (void)cpu, (void)now; }
    /// Called when the time that it returned last has come (at an exit, a timer, while the guest idles), first right
    /// after start(), and within about 1 ms of each fault. At most some 100 us of work per call; more work left:
    /// returns `now`. Returns when it wants to be called next.
    [[nodiscard]] virtual Tsc tick(Tsc now) = 0;
    /// Nothing is left to do: the monitor stops the mode. Asked after each tick().
    [[nodiscard]] virtual bool finished() const { return false; }
    /// Called at each exit, when this mode wants that (MemoryRequest::every_turns != 0).
    virtual void on_turn(std::uint16_t cpu, Tsc now) { (void)cpu, (void)now; }

    /// Fills records, dropped, cycles, pages and held; the monitor does the rest.
    virtual void status(wire::MemoryStatus& status) const = 0;

protected:
    ~Engine() = default;
};

} // namespace undercroft::memory
