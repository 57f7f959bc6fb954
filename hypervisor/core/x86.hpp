// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The few privileged x86 instructions that the sensor executes itself.
#include <cstdint>

namespace undercroft::core {

struct CpuidResult {
    std::uint32_t eax, ebx, ecx, edx;
};
inline CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0)
{
    CpuidResult r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}
/// MSRs that both vendors have.
namespace msr {
inline constexpr std::uint32_t tsc = 0x10, apic_base = 0x1B, tsc_adjust = 0x3B, pat = 0x277, tsc_deadline = 0x6E0,
                               x2apic_eoi = 0x80B, x2apic_icr = 0x830, efer = 0xC0000080;
}
inline std::uint64_t read_msr(std::uint32_t number)
{
    std::uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return std::uint64_t{high} << 32 | low;
}
inline void write_msr(std::uint32_t number, std::uint64_t value)
{
    asm volatile("wrmsr"
                 :
                 : "c"(number), "a"(static_cast<std::uint32_t>(value)), "d"(static_cast<std::uint32_t>(value >> 32))
                 : "memory");
}
inline std::uint64_t read_tsc()
{
    std::uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return std::uint64_t{high} << 32 | low;
}
inline void out8(std::uint16_t port, std::uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
inline void out16(std::uint16_t port, std::uint16_t value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
inline void out32(std::uint16_t port, std::uint32_t value)
{
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
inline std::uint8_t in8(std::uint16_t port)
{
    std::uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline std::uint16_t in16(std::uint16_t port)
{
    std::uint16_t value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline std::uint32_t in32(std::uint16_t port)
{
    std::uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
/// Port access of 1, 2 or 4 bytes.
inline std::uint32_t in_port(std::uint16_t port, unsigned width)
{
    return width == 1 ? in8(port) : width == 2 ? in16(port) : in32(port);
}
inline void out_port(std::uint16_t port, unsigned width, std::uint32_t value)
{
    if (width == 1)
        out8(port, static_cast<std::uint8_t>(value));
    else if (width == 2)
        out16(port, static_cast<std::uint16_t>(value));
    else
        out32(port, value);
}
/// MMIO access with exactly `width` bytes (1, 2, 4 or 8) at an identity-mapped address.
inline std::uint64_t load_physical(std::uint64_t address, unsigned width)
{
    switch (width) {
    case 1:
        return *reinterpret_cast<std::uint8_t const volatile*>(address);
    case 2:
        return *reinterpret_cast<std::uint16_t const volatile*>(address);
    case 4:
        return *reinterpret_cast<std::uint32_t const volatile*>(address);
    default:
        return *reinterpret_cast<std::uint64_t const volatile*>(address);
    }
}
inline void store_physical(std::uint64_t address, unsigned width, std::uint64_t value)
{
    switch (width) {
    case 1:
        *reinterpret_cast<std::uint8_t volatile*>(address) = static_cast<std::uint8_t>(value);
        break;
    case 2:
        *reinterpret_cast<std::uint16_t volatile*>(address) = static_cast<std::uint16_t>(value);
        break;
    case 4:
        *reinterpret_cast<std::uint32_t volatile*>(address) = static_cast<std::uint32_t>(value);
        break;
    default:
        *reinterpret_cast<std::uint64_t volatile*>(address) = value;
        break;
    }
}

struct [[gnu::packed]] TablePointer {
    std::uint16_t limit;
    std::uint64_t base;
};

/// A segment register's hidden part.
struct Descriptor {
    std::uint16_t attributes = 0; ///< bits 0-7: descriptor bits 40-47, 8-11: bits 52-55; 0: the null selector
    std::uint32_t limit = 0;
    std::uint64_t base = 0;
};
/// From the running CPU's GDT, in 64-bit mode: system descriptors have 16 bytes.
inline Descriptor read_descriptor(std::uint16_t selector, TablePointer const& gdt)
{
    constexpr std::uint64_t not_system = 1ULL << 44, granularity = 1ULL << 55;
    Descriptor result;
    if ((selector & ~3U) == 0)
        return result;
    std::uint64_t words[2] = {};
    auto const* const at = reinterpret_cast<std::uint64_t const*>(gdt.base + (selector & ~7U));
    __builtin_memcpy(words, at, 8);
    result.attributes = static_cast<std::uint16_t>((words[0] >> 40 & 0xFF) | (words[0] >> 44 & 0xF00));
    result.limit = static_cast<std::uint32_t>((words[0] & 0xFFFF) | (words[0] >> 32 & 0xF0000));
    if ((words[0] & granularity) != 0)
        result.limit = result.limit << 12 | 0xFFF;
    result.base = (words[0] >> 16 & 0xFFFFFF) | (words[0] >> 32 & 0xFF000000);
    if ((words[0] & not_system) == 0) {
        __builtin_memcpy(words + 1, at + 1, 8);
        result.base |= words[1] << 32;
    }
    return result;
}

/// The running CPU's segment registers in the order of backend::Segment, and its tables.
struct Selectors {
    std::uint16_t segments[8];
    TablePointer gdt, idt;
};
inline Selectors current_selectors()
{
    Selectors now{};
    auto& [es, cs, ss, ds, fs, gs, ldt, task] = now.segments;
    asm volatile("mov %%es, %0; mov %%cs, %1; mov %%ss, %2; mov %%ds, %3" : "=r"(es), "=r"(cs), "=r"(ss), "=r"(ds));
    asm volatile("mov %%fs, %0; mov %%gs, %1; sldt %2; str %3" : "=r"(fs), "=r"(gs), "=r"(ldt), "=r"(task));
    asm volatile("sgdt %0" : "=m"(now.gdt));
    asm volatile("sidt %0" : "=m"(now.idt));
    return now;
}

/// What enter.cpp saves of its caller: the guest goes on right behind the call, in the
/// caller's own memory (the core's is out of the guest's reach from then on).
struct CapturedState {
    std::uint64_t rip, rsp, rflags, rbx, rbp, r12, r13, r14, r15;
};

} // namespace undercroft::core
