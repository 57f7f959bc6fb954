// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/mp_table.hpp"

#include <span>

#include "base/le.hpp"

namespace undercroft::multiboot2 {
namespace {

constexpr std::uint64_t bda_ebda_segment = 0x40E, bda_memory_kib = 0x413;
constexpr std::uint64_t low_end = 0xA0000;
constexpr std::uint64_t kib = 1024, paragraph = 16;

template <typename T>
T read(core::GuestMemory const& memory, std::uint64_t at)
{
    Le<T> value{};
    return memory.read(Gpa{at}, std::as_writable_bytes(std::span{&value, 1})) ? value.get() : T{};
}

bool sums_to_zero(core::GuestMemory const& memory, std::uint64_t at, std::size_t bytes)
{
    std::uint8_t sum = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        std::byte b{};
        if (!memory.read(Gpa{at + i}, {&b, 1}))
            return false;
        sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(b));
    }
    return sum == 0;
}

/// A structure on a 16-byte boundary that begins with `signature` and whose first `bytes` bytes sum to zero.
template <std::size_t Size>
std::uint64_t scan(core::GuestMemory const& memory, std::uint64_t start, std::uint64_t end,
                   char const (&signature)[Size], std::size_t bytes)
{
    for (std::uint64_t at = start; at + bytes <= end; at += paragraph) {
        char found[Size - 1];
        if (memory.read(Gpa{at}, std::as_writable_bytes(std::span{found})) &&
            __builtin_memcmp(found, signature, sizeof(found)) == 0 && sums_to_zero(memory, at, bytes))
            return at;
    }
    return 0;
}

/// The first KiB of the extended BIOS data area; 0: there is none.
std::uint64_t ebda(core::GuestMemory const& memory)
{
    std::uint64_t const at = std::uint64_t{read<std::uint16_t>(memory, bda_ebda_segment)} * paragraph;
    return at >= 0x400 && at + kib <= low_end ? at : 0;
}

std::uint64_t find_mp_pointer(core::GuestMemory const& memory)
{
    constexpr std::size_t pointer_bytes = 16;
    std::uint64_t const area = ebda(memory);
    std::uint64_t found = area != 0 ? scan(memory, area, area + kib, "_MP_", pointer_bytes) : 0;
    std::uint64_t const memory_end = read<std::uint16_t>(memory, bda_memory_kib) * kib;
    if (found == 0 && memory_end >= kib && memory_end <= low_end)
        found = scan(memory, memory_end - kib, memory_end, "_MP_", pointer_bytes);
    return found != 0 ? found : scan(memory, 0xF0000, 0x100000, "_MP_", pointer_bytes);
}

} // namespace

std::uint64_t find_rsdp(core::GuestMemory const& memory)
{
    constexpr std::size_t checked_bytes = 20;
    std::uint64_t const area = ebda(memory);
    std::uint64_t const found = area != 0 ? scan(memory, area, area + kib, "RSD PTR ", checked_bytes) : 0;
    return found != 0 ? found : scan(memory, 0xE0000, 0x100000, "RSD PTR ", checked_bytes);
}

bool read_mp_table(core::GuestMemory const& memory, platform::FixedList<platform::MadtCpu, platform::max_cpus>& cpus)
{
    constexpr std::uint32_t header_bytes = 44, processor_bytes = 20, other_bytes = 8;
    std::uint64_t const pointer = find_mp_pointer(memory);
    std::uint64_t const table = pointer != 0 ? read<std::uint32_t>(memory, pointer + 4) : 0;
    if (table == 0 || read<std::uint32_t>(memory, table) != 0x504D4350) // "PCMP"
        return false;
    std::uint16_t const bytes = read<std::uint16_t>(memory, table + 4);
    std::uint16_t const entries = read<std::uint16_t>(memory, table + 34);
    if (bytes < header_bytes || !sums_to_zero(memory, table, bytes))
        return false;
    std::uint32_t at = header_bytes;
    for (unsigned i = 0; i < entries && at < bytes; ++i) {
        bool const processor = read<std::uint8_t>(memory, table + at) == 0;
        std::uint32_t const length = processor ? processor_bytes : other_bytes;
        if (length > bytes - at)
            return false;
        if (processor)
            cpus.push({read<std::uint8_t>(memory, table + at + 1),
                       (read<std::uint8_t>(memory, table + at + 3) & 1) != 0, false});
        at += length;
    }
    return true;
}

} // namespace undercroft::multiboot2
