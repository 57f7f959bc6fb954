// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// After a device access was emulated, performs the instructions that follow it, so that a
// second access a few instructions on needs no exit of its own. Each instruction takes its whole effect
// or none, so stopping anywhere is right; whatever is not provably simple stops.
#include <array>
#include <cstddef>
#include <cstdint>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/decode/decode_cache.hpp"
#include "hypervisor/decode/emulate.hpp"
#include "hypervisor/decode/step_decode.hpp"
#include "hypervisor/paging/supervisor_walk.hpp"

namespace undercroft::decode {

using StepCache = BasicDecodeCache<DecodedStep, &decode_step>;

/// Whether running ahead from an access has led to another, by the access's RIP. One per CPU.
/// Most accesses are followed by none and must not pay for it every time.
class RunAheadTable {
public:
    static constexpr unsigned trials = 4;         ///< in a row without success before a rest
    static constexpr unsigned rest_visits = 4096; ///< then one trial

    [[nodiscard]] bool worth_trying(std::uint64_t rip);
    /// Only after worth_trying(rip) said yes.
    void learn(std::uint64_t rip, bool reached);

private:
    struct Entry {
        std::uint64_t rip = 0;
        std::uint32_t trials_left = trials;
        std::uint32_t rest = 0;
    };
    static constexpr std::size_t entries = 64;
    [[nodiscard]] Entry& entry(std::uint64_t rip);
    std::array<Entry, entries> entries_{};
};

struct RunAheadLimits {
    unsigned instructions_between = 32; ///< from one device access to the next
    unsigned accesses = 8;              ///< per run
};

/// Pages that a run has used, as a processor's TLB would hold them for as long.
struct OperandPages {
    struct Entry {
        std::uint64_t page = ~0ULL; ///< linear
        paging::SupervisorTranslation where{};
    };
    std::array<Entry, 4> entries{};
    unsigned next = 0;
};

/// Everything a step needs, without the backend's type.
struct RunAheadContext {
    backend::Registers& registers;
    std::uint64_t rip;
    backend::PagingState paging; ///< rflags is kept up to date
    core::GuestMemory const& memory;
    core::MmioHandler& handler; ///< offset = guest-physical address
    bool (*is_watched)(void const* owner, Gpa gpa);
    void const* owner;
    std::uint64_t code_page = ~0ULL; ///< linear address of the page that code_gpa is for
    Gpa code_gpa{};
    OperandPages operands{};
};

enum class StepResult : std::uint8_t { stopped, done, device_access };

/// Performs the instruction at context.rip. `stopped`: nothing has changed.
[[nodiscard]] StepResult perform_step(RunAheadContext& context, StepCache& cache);

/// 64-bit mode, CPL 0, the guest is not stepping itself. Debug registers are the caller's.
[[nodiscard]] bool may_run_ahead(backend::PagingState const& paging);

/// Call after an access was emulated at `access_rip` (RIP is behind it, which ended any interrupt
/// shadow). `is_watched(Gpa)`: `handler` answers for that address. Returns the number of device accesses done.
template <backend::VirtualCpu C, typename IsWatched>
unsigned run_ahead(C& cpu, StepCache& cache, RunAheadTable& table, core::GuestMemory const& memory,
                   core::MmioHandler& handler, IsWatched const& is_watched, std::uint64_t access_rip,
                   RunAheadLimits limits = {})
{
    backend::PagingState const paging = cpu.paging();
    if (!may_run_ahead(paging) || cpu.breakpoints_armed() || cpu.event_pending())
        return 0;
    auto const ask = [](void const* owner, Gpa gpa) { return (*static_cast<IsWatched const*>(owner))(gpa); };
    RunAheadContext context{.registers = cpu.registers(),
                            .rip = cpu.rip(),
                            .paging = paging,
                            .memory = memory,
                            .handler = handler,
                            .is_watched = ask,
                            .owner = &is_watched};
    unsigned accesses = 0;
    for (bool reached = true; reached && accesses < limits.accesses && table.worth_trying(access_rip);) {
        reached = false;
        std::uint64_t const from = access_rip;
        for (unsigned i = 0; i < limits.instructions_between && !reached; ++i) {
            access_rip = context.rip;
            StepResult const result = perform_step(context, cache);
            if (result == StepResult::stopped)
                break;
            reached = result == StepResult::device_access;
        }
        accesses += reached ? 1 : 0;
        table.learn(from, reached);
    }
    if (context.paging.rflags != paging.rflags)
        cpu.set_rflags(context.paging.rflags);
    if (context.rip != cpu.rip())
        cpu.set_rip(context.rip);
    return accesses;
}

} // namespace undercroft::decode
