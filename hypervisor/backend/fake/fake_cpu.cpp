// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/fake/fake_cpu.hpp"

#include <algorithm>
#include <utility>

namespace undercroft::backend::fake {

Exit FakeCpu::run()
{
    ++runs;
    if (script_.empty())
        return Exit{.kind = ExitKind::shutdown};
    Step const step = std::move(script_.front());
    script_.pop_front();
    if (step.before)
        step.before(*this);
    return step.exit;
}

void FakeCpu::set_rip(std::uint64_t value)
{
    instruction_pointer = value;
    record("set_rip", value);
}

void FakeCpu::set_segment(Segment which, SegmentState state)
{
    segments_[static_cast<unsigned>(which)] = state;
    if (which == Segment::cs) {
        paging_state.cs_long = (state.attributes & (1U << 9)) != 0;
        paging_state.cs_default_32 = (state.attributes & (1U << 10)) != 0;
    }
    if (which == Segment::ss)
        paging_state.cpl = (state.attributes >> 5) & 3;
    record("set_segment", static_cast<std::uint64_t>(which), state.selector, state.base, state.attributes);
}

void FakeCpu::set_rflags(std::uint64_t value)
{
    paging_state.rflags = value;
    record("set_rflags", value);
}

void FakeCpu::set_system_registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, std::uint64_t efer)
{
    paging_state.cr0 = cr0;
    paging_state.cr3 = cr3;
    paging_state.cr4 = cr4;
    paging_state.efer = efer;
    record("set_system_registers", cr0, cr3, cr4, efer);
}

void FakeCpu::set_descriptor_tables(std::uint64_t gdt, std::uint64_t gdt_limit, std::uint64_t idt,
                                    std::uint64_t idt_limit)
{
    descriptor_tables = {gdt, gdt_limit, idt, idt_limit};
    record("set_descriptor_tables", gdt, gdt_limit, idt, idt_limit);
}

void FakeCpu::set_guest_efer(std::uint64_t value)
{
    paging_state.efer = value;
    record("set_guest_efer", value);
}

void FakeCpu::intercept_halt(bool on)
{
    halt_intercepted = on;
    record("intercept_halt", on);
}

void FakeCpu::intercept_interrupts(bool on)
{
    interrupts_intercepted = on;
    record("intercept_interrupts", on);
}

bool FakeCpu::exit_when_interruptible()
{
    if (has_window)
        record("exit_when_interruptible");
    return has_window;
}

bool FakeCpu::arm_timer(std::uint64_t ticks)
{
    if (!has_timer)
        return false;
    timer_ticks = ticks;
    record("arm_timer", ticks);
    return true;
}

void FakeCpu::single_step(bool on)
{
    stepping = on;
    record("single_step", on);
}

unsigned FakeCpu::count(std::string_view name) const
{
    return static_cast<unsigned>(std::ranges::count(calls, name, &Call::name));
}

} // namespace undercroft::backend::fake
