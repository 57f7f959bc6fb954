// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/elf.hpp"

namespace undercroft::boot {
namespace {

// ELF-64 Object File Format 1.5, and the x86-64 psABI for the relocation type.
struct Header {
    std::uint8_t ident[16];
    std::uint16_t type, machine;
    std::uint32_t version;
    std::uint64_t entry, program_offset, section_offset;
    std::uint32_t flags;
    std::uint16_t header_bytes, program_bytes, program_count, section_bytes, section_count, section_names;
};
struct Segment {
    std::uint32_t type, flags;
    std::uint64_t offset, address, physical, file_bytes, memory_bytes, align;
};
struct Dynamic {
    std::uint64_t tag, value;
};
struct Rela {
    std::uint64_t offset, info, addend;
};
constexpr std::uint32_t segment_load = 1, segment_dynamic = 2;
constexpr std::uint64_t dynamic_end = 0, dynamic_rela = 7, dynamic_rela_bytes = 8, dynamic_rel = 17, dynamic_relr = 36;
constexpr std::uint64_t relocation_relative = 8;
constexpr std::uint16_t type_dynamic = 3, machine_x86_64 = 62;

bool inside(std::uint64_t offset, std::uint64_t bytes, std::uint64_t limit)
{
    return offset <= limit && bytes <= limit - offset;
}

/// The file decides where its tables lie: they may be misaligned.
template <typename T>
T copy_of(std::uint64_t address)
{
    T value;
    __builtin_memcpy(&value, reinterpret_cast<void const*>(address), sizeof(value));
    return value;
}

bool relocate(std::uint64_t base, std::uint64_t image_bytes, Segment const& dynamic)
{
    if (!inside(dynamic.address, dynamic.memory_bytes, image_bytes))
        return false;
    std::uint64_t table = 0, bytes = 0;
    for (std::uint64_t at = 0; at + sizeof(Dynamic) <= dynamic.memory_bytes; at += sizeof(Dynamic)) {
        auto const entry = copy_of<Dynamic>(base + dynamic.address + at);
        if (entry.tag == dynamic_end)
            break;
        if (entry.tag == dynamic_rela)
            table = entry.value;
        else if (entry.tag == dynamic_rela_bytes)
            bytes = entry.value;
        else if (entry.tag == dynamic_relr || entry.tag == dynamic_rel)
            return false; // relocations of a form that is not applied here
    }
    if (!inside(table, bytes, image_bytes))
        return false;
    for (std::uint64_t at = 0; at + sizeof(Rela) <= bytes; at += sizeof(Rela)) {
        auto const rela = copy_of<Rela>(base + table + at);
        if ((rela.info & 0xFFFFFFFF) != relocation_relative || !inside(rela.offset, 8, image_bytes))
            return false;
        std::uint64_t const target = base + rela.addend;
        __builtin_memcpy(reinterpret_cast<void*>(base + rela.offset), &target, sizeof(target));
    }
    return true;
}

} // namespace

ElfImage load_elf(std::uint8_t const* file, std::size_t file_bytes, std::uint64_t base, std::uint64_t memory_bytes)
{
    Header header;
    if (file_bytes < sizeof(header))
        return {};
    __builtin_memcpy(&header, file, sizeof(header));
    if (__builtin_memcmp(header.ident,
                         "\x7f"
                         "ELF\x02\x01",
                         6) != 0 ||
        header.type != type_dynamic || header.machine != machine_x86_64 || header.program_bytes != sizeof(Segment) ||
        !inside(header.program_offset, std::uint64_t{header.program_count} * sizeof(Segment), file_bytes))
        return {};
    std::uint64_t image_bytes = 0;
    Segment dynamic{};
    for (unsigned i = 0; i < header.program_count; ++i) {
        Segment segment;
        __builtin_memcpy(&segment, file + header.program_offset + i * sizeof(Segment), sizeof(segment));
        if (segment.type == segment_dynamic)
            dynamic = segment;
        if (segment.type != segment_load)
            continue;
        if (!inside(segment.offset, segment.file_bytes, file_bytes) || segment.file_bytes > segment.memory_bytes ||
            !inside(segment.address, segment.memory_bytes, memory_bytes))
            return {};
        auto* to = reinterpret_cast<std::uint8_t*>(base + segment.address);
        __builtin_memcpy(to, file + segment.offset, segment.file_bytes);
        __builtin_memset(to + segment.file_bytes, 0, segment.memory_bytes - segment.file_bytes);
        if (segment.address + segment.memory_bytes > image_bytes)
            image_bytes = segment.address + segment.memory_bytes;
    }
    if (image_bytes == 0 || !inside(header.entry, 64, image_bytes))
        return {};
    if (dynamic.type == segment_dynamic && !relocate(base, image_bytes, dynamic))
        return {};
    return {reinterpret_cast<std::uint8_t*>(base + header.entry), base + image_bytes};
}

} // namespace undercroft::boot
