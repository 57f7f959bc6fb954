// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Intel SDM vol. 3A chapter 11 (APIC), AMD APM vol. 2 chapter 16.
#include "hypervisor/core/local_apic.hpp"

#include "hypervisor/core/x86.hpp"

namespace undercroft::core {
namespace {

constexpr std::uint32_t msr_apic_base = 0x1B, msr_x2apic_irr = 0x820, msr_x2apic_icr = 0x830;
constexpr std::uint64_t base_x2apic = 1ULL << 10, base_enabled = 1ULL << 11, base_address = 0x000FFFFFFFFFF000;
constexpr std::uint64_t reg_irr = 0x200, reg_icr_low = 0x300, reg_icr_high = 0x310;
constexpr std::uint32_t icr_nmi = 4U << 8, icr_assert = 1U << 14, icr_busy = 1U << 12;

bool in_x2apic_mode()
{
    constexpr std::uint64_t both = base_x2apic | base_enabled;
    return (read_msr(msr_apic_base) & both) == both;
}

} // namespace

std::uint32_t local_apic_id()
{
    if ((read_msr(msr_apic_base) & base_x2apic) != 0)
        return cpuid(0x0B).edx;
    return cpuid(1).ebx >> 24;
}

std::uint64_t local_apic_page()
{
    std::uint64_t const base = read_msr(msr_apic_base);
    return (base & (base_x2apic | base_enabled)) == base_enabled ? base & base_address : 0;
}

void send_nmi(std::uint32_t apic_id)
{
    send_ipi(apic_id, icr_assert | icr_nmi);
}

void send_ipi(std::uint32_t apic_id, std::uint32_t command)
{
    std::uint64_t const page = local_apic_page();
    if (page == 0) {
        if (in_x2apic_mode()) // else the guest has switched its APIC off: the request waits for the target's next exit
            write_msr(msr_x2apic_icr, std::uint64_t{apic_id} << 32 | command);
        return;
    }
    constexpr unsigned busy_limit = 10000;
    for (unsigned i = 0; i < busy_limit && (load_physical(page + reg_icr_low, 4) & icr_busy) != 0; ++i)
        __builtin_ia32_pause();
    std::uint64_t const kept = load_physical(page + reg_icr_high, 4);
    store_physical(page + reg_icr_high, 4, std::uint64_t{apic_id} << 24);
    store_physical(page + reg_icr_low, 4, command);
    for (unsigned i = 0; i < busy_limit && (load_physical(page + reg_icr_low, 4) & icr_busy) != 0; ++i)
        __builtin_ia32_pause();
    store_physical(page + reg_icr_high, 4, kept);
}

bool local_apic_request_pending()
{
    std::uint64_t const page = local_apic_page();
    if (page == 0 && !in_x2apic_mode())
        return false;
    for (unsigned i = 0; i < 8; ++i) {
        std::uint64_t const bits = page != 0 ? load_physical(page + reg_irr + i * 16, 4) : read_msr(msr_x2apic_irr + i);
        if (bits != 0)
            return true;
    }
    return false;
}

} // namespace undercroft::core
