// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A backend that also keeps the list of what the exit loop did to it, as the fake one does.
#include <string_view>
#include <vector>

#include "hypervisor/backend/fake/fake_cpu.hpp"

namespace undercroft::backend::testing {

template <typename Base>
struct Recorded : Base {
    std::vector<fake::Call> calls;

    void set_guest_efer(std::uint64_t v) { note("set_guest_efer", v), Base::set_guest_efer(v); }
    void inject_undefined() { note("inject_undefined"), Base::inject_undefined(); }
    void inject_general_protection() { note("inject_general_protection"), Base::inject_general_protection(); }
    void deliver_protection_fault() { note("deliver_protection_fault"), Base::deliver_protection_fault(); }
    void inject_stack_fault() { note("inject_stack_fault"), Base::inject_stack_fault(); }
    void inject_page_fault(std::uint64_t address, std::uint64_t error)
    {
        note("inject_page_fault", address, error), Base::inject_page_fault(address, error);
    }
    void intercept_halt(bool on) { note("intercept_halt", on), Base::intercept_halt(on); }
    void intercept_interrupts(bool on) { note("intercept_interrupts", on), Base::intercept_interrupts(on); }
    void single_step(bool on) { note("single_step", on), Base::single_step(on); }
    void flush_nested() { note("flush_nested"), Base::flush_nested(); }
    void consume_nmi() { note("consume_nmi"), Base::consume_nmi(); }
    void inject_nmi() { note("inject_nmi"), Base::inject_nmi(); }

private:
    void note(std::string_view name, std::uint64_t a = 0, std::uint64_t b = 0)
    {
        calls.push_back({name, {a, b, 0, 0}});
    }
};

} // namespace undercroft::backend::testing
