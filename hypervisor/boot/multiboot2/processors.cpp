// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Intel SDM vol. 3A, 9.4.4.1 (INIT, SIPI, SIPI); AMD APM vol. 2, 16.5.
#include "hypervisor/boot/multiboot2/processors.hpp"

#include <atomic>

#include "hypervisor/boot/multiboot2/clocks.hpp"
#include "hypervisor/core/local_apic.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::multiboot2 {
namespace {

enum class State : std::uint32_t { absent, awake, adopted, refused };

std::atomic<State> states[boot::max_cpus];
std::atomic<boot::CoreHeader const*> core_to_enter;

constexpr std::uint32_t icr_init = 5U << 8, icr_startup = 6U << 8, icr_assert = 1U << 14;
constexpr std::uint64_t answer_us = 200000, enter_us = 5000000;

/// Until it is `wanted` or anything later.
bool wait_for(std::uint32_t index, State wanted, std::uint64_t tsc_hz, std::uint64_t microseconds)
{
    std::uint64_t const start = core::read_tsc(), ticks = tsc_hz / 1000000 * microseconds;
    while (states[index].load(std::memory_order_acquire) < wanted)
        if (core::read_tsc() - start > ticks)
            return false;
    return true;
}

} // namespace

extern "C" std::uint32_t volatile ap_number; // start.S: of the CPU that starts next

extern "C" void ap_main(std::uint32_t index)
{
    states[index].store(State::awake, std::memory_order_release);
    boot::CoreHeader const* core = nullptr;
    while ((core = core_to_enter.load(std::memory_order_acquire)) == nullptr)
        __builtin_ia32_pause();
    bool const good = core->enter(index) == boot::StartResult::ok;
    states[index].store(good ? State::adopted : State::refused, std::memory_order_release);
}

bool Processors::wake(LowBlock const& low, std::span<platform::MadtCpu const> cpus)
{
    std::uint32_t const self = core::local_apic_id();
    for (platform::MadtCpu const& cpu : cpus) {
        if (!cpu.enabled || cpu.apic_id == self || is_awake(cpu.apic_id)) // tables may name one twice
            continue;
        if (count() + silent_ == boot::max_cpus)
            return false;
        std::uint32_t const index = awake_ + 1;
        states[index].store(State::absent);
        ap_number = index;
        core::send_ipi(cpu.apic_id, icr_assert | icr_init);
        wait_us(tsc_hz_, 10000);
        bool here = false;
        for (unsigned i = 0; i < 2 && !here; ++i) {
            core::send_ipi(cpu.apic_id, icr_assert | icr_startup | low.startup_vector());
            here = wait_for(index, State::awake, tsc_hz_, answer_us);
        }
        if (here) {
            apic_ids_[index] = cpu.apic_id;
            ++awake_;
        } else {
            core::send_ipi(cpu.apic_id, icr_assert | icr_init); // it must not come later
            wait_us(tsc_hz_, 10000);
            ++silent_;
        }
    }
    return true;
}

bool Processors::is_awake(std::uint32_t apic_id) const
{
    for (std::uint32_t i = 1; i <= awake_; ++i)
        if (apic_ids_[i] == apic_id)
            return true;
    return false;
}

bool Processors::enter(boot::CoreHeader const& core)
{
    core_to_enter.store(&core, std::memory_order_release);
    bool good = true;
    for (std::uint32_t i = 1; i <= awake_; ++i)
        good = wait_for(i, State::adopted, tsc_hz_, enter_us) && states[i].load() == State::adopted && good;
    return good;
}

void Processors::park()
{
    for (std::uint32_t i = 1; i <= awake_; ++i)
        core::send_ipi(apic_ids_[i], icr_assert | icr_init);
}

} // namespace undercroft::multiboot2
