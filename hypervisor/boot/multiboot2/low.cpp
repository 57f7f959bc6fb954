// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/low.hpp"

extern "C" {
extern std::uint8_t low_start[], low_end[], low_enter_32[], low_enter_64[], low_real[], low_leave_16[],
    low_enter_real[], low_call[], low_boot[], low_int15[];
extern std::uint8_t low_gdt[], low_gdt_pointer[], low_far_32[], low_far_64[], low_far_16[], low_far_real[],
    low_ap_entry[], low_page_tables[], low_real_target[], low_vector[], low_old_int15[], low_eax[], low_ebx[],
    low_ecx[], low_edx[], low_esi[], low_edi[], low_ds[], low_es[], low_flags[], low_buffer[], low_has_sizes[],
    low_has_extended[], low_kib_to_16m[], low_64k_from_16m[], low_extended_kib[], low_map_count[], low_map[];
extern std::uint8_t page_tables[], ap_start[];
}

namespace undercroft::multiboot2 {
namespace {

constexpr std::uint16_t code_64 = 0x08, code_32 = 0x18, code_16 = 0x20; // low.S
constexpr std::uint64_t page = 4096, bda_memory_kib = 0x413, int15_vector = 0x15 * 4;
constexpr std::uint64_t lowest_block = 0x10000, low_end_limit = 0xA0000;

std::uint32_t offset(std::uint8_t const* symbol)
{
    return static_cast<std::uint32_t>(symbol - low_start);
}
template <typename T>
void put(std::uint64_t address, T value)
{
    asm volatile("" : "+r"(address)); // low addresses are memory here
    __builtin_memcpy(reinterpret_cast<void*>(address), &value, sizeof(value));
}
template <typename T>
T get(std::uint64_t address)
{
    T value;
    asm volatile("" : "+r"(address) : : "memory");
    __builtin_memcpy(&value, reinterpret_cast<void const*>(address), sizeof(value));
    return value;
}

struct [[gnu::packed]] FarPointer32 {
    std::uint32_t offset;
    std::uint16_t selector;
};

std::uint32_t address_of(std::uint8_t const* symbol)
{
    return static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(symbol));
}

} // namespace

std::uint64_t LowBlock::bytes()
{
    return (offset(low_end) + page - 1) & ~(page - 1);
}

LowBlock::LowBlock()
{
    std::uint64_t const memory_end = std::uint64_t{get<std::uint16_t>(bda_memory_kib)} * 1024;
    if (memory_end > low_end_limit || memory_end < lowest_block + bytes())
        return;
    start_ = (memory_end - bytes()) & ~(page - 1);
    auto const base = static_cast<std::uint32_t>(start_);
    auto const at = [this](std::uint8_t const* symbol) { return start_ + offset(symbol); };
    __builtin_memcpy(reinterpret_cast<void*>(start_), low_start, offset(low_end));
    put(at(low_gdt) + code_16 + 2, get<std::uint32_t>(at(low_gdt) + code_16 + 2) | base);
    put<std::uint64_t>(at(low_gdt_pointer) + 2, at(low_gdt));
    put(at(low_far_32), FarPointer32{base + offset(low_enter_32), code_32});
    put(at(low_far_64), FarPointer32{base + offset(low_enter_64), code_64});
    put(at(low_far_16), FarPointer32{offset(low_leave_16), code_16});
    put(at(low_far_real), FarPointer32{offset(low_enter_real), static_cast<std::uint16_t>(base >> 4)});
    put(at(low_ap_entry), address_of(ap_start));
    put(at(low_page_tables), address_of(page_tables));
}

void LowBlock::interrupt(std::uint8_t number, RealRegisters& registers)
{
    auto const at = [this](std::uint8_t const* symbol) { return start_ + offset(symbol); };
    put(at(low_vector), get<std::uint32_t>(std::uint64_t{number} * 4));
    put(at(low_eax), registers.eax);
    put(at(low_ebx), registers.ebx);
    put(at(low_ecx), registers.ecx);
    put(at(low_edx), registers.edx);
    put(at(low_esi), registers.esi);
    put(at(low_edi), registers.edi);
    put(at(low_ds), registers.ds);
    put(at(low_es), registers.es);
    put(at(low_real_target), static_cast<std::uint16_t>(offset(low_call)));
    reinterpret_cast<void (*)(std::uint64_t)>(at(low_real))(start_);
    registers.eax = get<std::uint32_t>(at(low_eax));
    registers.ebx = get<std::uint32_t>(at(low_ebx));
    registers.ecx = get<std::uint32_t>(at(low_ecx));
    registers.edx = get<std::uint32_t>(at(low_edx));
    registers.esi = get<std::uint32_t>(at(low_esi));
    registers.edi = get<std::uint32_t>(at(low_edi));
    registers.ds = get<std::uint16_t>(at(low_ds));
    registers.es = get<std::uint16_t>(at(low_es));
    registers.flags = get<std::uint16_t>(at(low_flags));
}

std::span<std::uint8_t> LowBlock::buffer()
{
    return {reinterpret_cast<std::uint8_t*>(start_ + offset(low_buffer)), 64};
}

RealRegisters LowBlock::with_buffer() const
{
    RealRegisters registers;
    registers.ds = registers.es = static_cast<std::uint16_t>(start_ >> 4);
    registers.esi = registers.edi = offset(low_buffer);
    return registers;
}

void LowBlock::start_boot_sector(std::uint8_t drive)
{
    put(start_ + offset(low_edx), std::uint32_t{drive});
    put(start_ + offset(low_real_target), static_cast<std::uint16_t>(offset(low_boot)));
    reinterpret_cast<void (*)(std::uint64_t)>(start_ + offset(low_real))(start_);
    __builtin_unreachable();
}

void LowBlock::take_over(MemoryMap const& map, MemorySizes const& sizes)
{
    auto const at = [this](std::uint8_t const* symbol) { return start_ + offset(symbol); };
    auto const segment = static_cast<std::uint16_t>(start_ >> 4);
    std::uint64_t to = at(low_map);
    for (MapEntry const& entry : map.entries()) {
        __builtin_memcpy(reinterpret_cast<void*>(to), &entry, kept_entry_bytes);
        to += kept_entry_bytes;
    }
    put(at(low_map_count), static_cast<std::uint32_t>(map.entries().size()));
    put(at(low_has_sizes), static_cast<std::uint8_t>(sizes.kib_to_16m.has_value()));
    put(at(low_kib_to_16m), sizes.kib_to_16m.value_or(0));
    put(at(low_64k_from_16m), sizes.chunks_from_16m);
    put(at(low_has_extended), static_cast<std::uint8_t>(sizes.extended_kib.has_value()));
    put(at(low_extended_kib), sizes.extended_kib.value_or(0));
    put(at(low_old_int15), get<std::uint32_t>(int15_vector));
    put(int15_vector, static_cast<std::uint32_t>(segment) << 16 | offset(low_int15));
    put(bda_memory_kib, static_cast<std::uint16_t>(start_ / 1024));
}

void LowBlock::leave_mark(std::uint32_t mark)
{
    put(mark_address, mark);
    put(mark_address + 4, static_cast<std::uint16_t>(start_ >> 4));
}

} // namespace undercroft::multiboot2
