// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The instructions that the VMX backend executes, one function each: the host tests put a model in their place.
#include <cstdint>

#include "hypervisor/backend/vmx/vmcs.hpp"
#include "hypervisor/core/host_environment.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::vmx {

/// Enters the guest with its general registers (RSP travels in the VMCS) and leaves them in `gpr` at
/// the exit. False: the entry failed before the guest's state was loaded.
extern "C" bool vmx_enter_guest(std::uint64_t* gpr, bool launched);
/// Where exits arrive: HOST_RIP.
extern "C" void vmx_exit_arrives();

struct Hardware {
    static std::uint64_t read(Field field)
    {
        std::uint64_t value;
        asm volatile("vmread %1, %0" : "=r"(value) : "r"(std::uint64_t{static_cast<std::uint32_t>(field)}) : "cc");
        return value;
    }
    static void write(Field field, std::uint64_t value)
    {
        asm volatile("vmwrite %0, %1" : : "r"(value), "r"(std::uint64_t{static_cast<std::uint32_t>(field)}) : "cc");
    }
    static bool enter(std::uint64_t* gpr, bool launched) { return vmx_enter_guest(gpr, launched); }
    static std::uint64_t exit_address() { return reinterpret_cast<std::uint64_t>(&vmx_exit_arrives); }

    /// False: VMfail.
    static bool vmxon(std::uint64_t region) { return done_with(region, 0); }
    static bool vmclear(std::uint64_t vmcs) { return done_with(vmcs, 1); }
    static bool vmptrld(std::uint64_t vmcs) { return done_with(vmcs, 2); }
    static void invept(std::uint64_t type, std::uint64_t pointer)
    {
        std::uint64_t const descriptor[2] = {pointer, 0};
        asm volatile("invept %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
    }
    static void invvpid(std::uint64_t type, std::uint16_t vpid)
    {
        std::uint64_t const descriptor[2] = {vpid, 0};
        asm volatile("invvpid %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
    }

    static core::Selectors selectors() { return core::current_selectors(); }
    static core::Descriptor descriptor(std::uint16_t selector, core::TablePointer const& gdt)
    {
        return core::read_descriptor(selector, gdt);
    }
    static core::CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf) { return core::cpuid(leaf, subleaf); }
    static std::uint64_t read_msr(std::uint32_t number) { return core::read_msr(number); }
    static void write_msr(std::uint32_t number, std::uint64_t value) { core::write_msr(number, value); }
    static std::uint64_t tsc() { return core::read_tsc(); }
    static std::uint64_t cr0() { return get<0>(); }
    static void set_cr0(std::uint64_t value) { asm volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }
    static std::uint64_t cr3() { return get<3>(); }
    static std::uint64_t cr4() { return get<4>(); }
    static void set_cr4(std::uint64_t value) { asm volatile("mov %0, %%cr4" : : "r"(value) : "memory"); }
    /// The guest's: the sensor has no page faults.
    static void set_cr2(std::uint64_t value) { asm volatile("mov %0, %%cr2" : : "r"(value)); }
    static std::uint64_t dr6()
    {
        std::uint64_t value;
        asm volatile("mov %%dr6, %0" : "=r"(value));
        return value;
    }
    static void set_dr6(std::uint64_t value) { asm volatile("mov %0, %%dr6" : : "r"(value)); }
    static std::uint64_t dr7()
    {
        std::uint64_t value;
        asm volatile("mov %%dr7, %0" : "=r"(value));
        return value;
    }
    static void clear_breakpoints()
    {
        std::uint64_t const zero = 0;
        asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(zero));
    }
    /// An exit for an NMI blocks further ones until the next IRET.
    static void open_nmis() { core::execute_iret(); }
    /// False: #GP.
    static bool xsetbv(std::uint32_t index, std::uint64_t value) { return core::try_xsetbv(index, value); }
    static void write_back_caches() { asm volatile("wbinvd" : : : "memory"); }

private:
    template <unsigned Number>
    static std::uint64_t get()
    {
        std::uint64_t value;
        asm volatile("mov %%cr%c1, %0" : "=r"(value) : "i"(Number));
        return value;
    }
    static bool done_with(std::uint64_t address, unsigned what)
    {
        bool failed;
        if (what == 0)
            asm volatile("vmxon %1" : "=@ccbe"(failed) : "m"(address) : "memory");
        else if (what == 1)
            asm volatile("vmclear %1" : "=@ccbe"(failed) : "m"(address) : "memory");
        else
            asm volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(address) : "memory");
        return !failed;
    }
};

} // namespace undercroft::vmx
