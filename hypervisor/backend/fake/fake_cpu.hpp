// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A scripted VirtualCpu for host tests of everything above the backends.
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>
#include <vector>

#include "hypervisor/backend/backend.hpp"

namespace undercroft::backend::fake {

/// One call that changed something, in order. Unused values are 0.
struct Call {
    std::string_view name;
    std::uint64_t values[4]{};
};

class FakeCpu {
public:
    /// The guest's part before an exit: may change registers, memory, whatever it captured.
    using GuestStep = std::function<void(FakeCpu&)>;

    void add(Exit exit, GuestStep before = {}) { script_.push_back({exit, std::move(before)}); }
    [[nodiscard]] bool finished() const { return script_.empty(); }

    /// The next scripted exit; `shutdown` when the script is over.
    Exit run();
    Registers& registers() { return registers_; }
    [[nodiscard]] std::uint64_t rip() const { return instruction_pointer; }
    void set_rip(std::uint64_t value);
    [[nodiscard]] PagingState paging() const { return paging_state; }
    [[nodiscard]] SegmentState segment(Segment which) const { return segments_[static_cast<unsigned>(which)]; }
    void set_segment(Segment which, SegmentState state);
    void set_rflags(std::uint64_t value);
    [[nodiscard]] std::uint64_t rflags() const { return paging_state.rflags; }
    [[nodiscard]] bool breakpoints_armed() const { return (debug_control & 0xFF) != 0; }
    [[nodiscard]] bool event_pending() const { return event_to_inject; }
    void set_system_registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, std::uint64_t efer);
    void set_descriptor_tables(std::uint64_t gdt, std::uint64_t gdt_limit, std::uint64_t idt, std::uint64_t idt_limit);
    void set_debug_and_activity_reset() { record("set_debug_and_activity_reset"); }
    [[nodiscard]] std::uint64_t guest_efer() const { return paging_state.efer; }
    void set_guest_efer(std::uint64_t value);
    void inject_undefined() { record("inject_undefined"); }
    void inject_general_protection() { record("inject_general_protection"); }
    void deliver_protection_fault() { record("deliver_protection_fault"); }
    void inject_stack_fault() { record("inject_stack_fault"); }
    void inject_page_fault(std::uint64_t address, std::uint64_t error) { record("inject_page_fault", address, error); }
    void intercept_halt(bool on);
    void intercept_interrupts(bool on);
    bool arm_timer(std::uint64_t ticks);
    bool exit_when_interruptible();
    void single_step(bool on);
    void flush_nested() { record("flush_nested"); }
    void consume_nmi() { record("consume_nmi"); }
    void inject_nmi() { record("inject_nmi"); }

    /// How often `name` was called.
    [[nodiscard]] unsigned count(std::string_view name) const;

    // The guest's state and the sensor's settings, open to tests.
    std::vector<Call> calls;
    PagingState paging_state{};
    std::uint64_t instruction_pointer = 0;
    std::array<std::uint64_t, 4> descriptor_tables{}; ///< GDT base, limit, IDT base, limit
    std::uint64_t debug_control = 0x400;              ///< DR7
    bool event_to_inject = false;
    bool halt_intercepted = false, interrupts_intercepted = false, stepping = false;
    bool has_timer = false;
    bool has_window = true;        ///< exit_when_interruptible() works, as on AMD
    std::uint64_t timer_ticks = 0; ///< 0: not armed
    unsigned runs = 0;

private:
    struct Step {
        Exit exit;
        GuestStep before;
    };
    void record(std::string_view name, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                std::uint64_t d = 0)
    {
        calls.push_back({name, {a, b, c, d}});
    }
    std::deque<Step> script_;
    Registers registers_{};
    std::array<SegmentState, 8> segments_{};
};
static_assert(VirtualCpu<FakeCpu>);

} // namespace undercroft::backend::fake
