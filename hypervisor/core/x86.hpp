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
inline constexpr std::uint32_t tsc = 0x10, apic_base = 0x1B, pat = 0x277, x2apic_eoi = 0x80B, x2apic_icr = 0x830,
                               efer = 0xC0000080;
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

/// What enter.cpp saves of its caller: the guest goes on right behind the call, in the
/// caller's own memory (the core's is out of the guest's reach from then on).
struct CapturedState {
    std::uint64_t rip, rsp, rflags, rbx, rbp, r12, r13, r14, r15;
};

} // namespace undercroft::core
