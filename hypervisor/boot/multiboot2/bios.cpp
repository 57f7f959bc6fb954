// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/bios.hpp"

#include <algorithm>

namespace undercroft::multiboot2 {
namespace {

constexpr std::uint32_t smap = 0x534D4150;
constexpr std::uint16_t boot_sector = 0x7C00;
constexpr std::uint64_t mib = 1ULL << 20;

/// Enhanced Disk Drive Specification 3.0: the packet of extended read.
struct [[gnu::packed]] DiskPacket {
    std::uint8_t bytes = 16, reserved = 0;
    std::uint16_t sectors = 1;
    std::uint16_t offset = boot_sector, segment = 0;
    std::uint64_t lba = 0;
};

bool has_extensions(LowBlock& low, std::uint8_t drive)
{
    RealRegisters r;
    r.eax = 0x4100;
    r.ebx = 0x55AA;
    r.edx = drive;
    low.interrupt(0x13, r);
    return !r.failed() && (r.ebx & 0xFFFF) == 0xAA55 && (r.ecx & 1) != 0;
}

bool read_first_sector(LowBlock& low, std::uint8_t drive, bool extended)
{
    RealRegisters r = low.with_buffer();
    r.edx = drive; // head 0
    if (extended) {
        DiskPacket const packet;
        __builtin_memcpy(low.buffer().data(), &packet, sizeof(packet));
        r.eax = 0x4200;
    } else {
        r.eax = 0x0201;
        r.ecx = 1; // cylinder 0, sector 1
        r.es = 0;
        r.ebx = boot_sector;
    }
    low.interrupt(0x13, r);
    return !r.failed();
}

} // namespace

void print(LowBlock& low, std::string_view text)
{
    for (char const c : text) {
        RealRegisters r;
        r.eax = 0x0E00 | static_cast<std::uint8_t>(c);
        r.ebx = 7;
        low.interrupt(0x10, r);
    }
}

bool read_memory_map(LowBlock& low, MemoryMap& map)
{
    std::uint32_t next = 0;
    do {
        MapEntry entry{0, 0, RangeType::reserved, 1, 0}; // some BIOSes return 24 bytes and write 20
        __builtin_memcpy(low.buffer().data(), &entry, 24);
        RealRegisters r = low.with_buffer();
        r.eax = 0xE820;
        r.ebx = next;
        r.ecx = 24;
        r.edx = smap;
        low.interrupt(0x15, r);
        if (r.failed() || r.eax != smap || r.ecx < 20 || r.ecx > 24)
            return !map.entries().empty() && r.failed(); // the end may be told this way, too
        __builtin_memcpy(&entry, low.buffer().data(), 24);
        entry.returned = r.ecx < 24 ? 20 : 24;
        if (!map.add(entry))
            return false;
        next = r.ebx;
    } while (next != 0);
    return true;
}

MemorySizes memory_sizes(LowBlock& low, MemoryMap const& map)
{
    MemorySizes sizes;
    RealRegisters r;
    r.eax = 0xE801;
    low.interrupt(0x15, r);
    auto const no_more = [](std::uint32_t now, std::uint64_t left) {
        return static_cast<std::uint16_t>(std::min<std::uint64_t>(now & 0xFFFF, left));
    };
    if (!r.failed()) { // some BIOSes answer in CX and DX only
        bool const in_cx = (r.eax & 0xFFFF) == 0;
        std::uint64_t const below = std::min(map.usable_from(mib), 15 * mib);
        sizes.kib_to_16m = no_more(in_cx ? r.ecx : r.eax, below / 1024);
        sizes.chunks_from_16m = no_more(in_cx ? r.edx : r.ebx, map.usable_from(16 * mib) / 65536);
    }
    r = {};
    r.eax = 0x8800;
    low.interrupt(0x15, r);
    if (!r.failed())
        sizes.extended_kib = no_more(r.eax, map.usable_from(mib) / 1024);
    return sizes;
}

bool load_boot_sector(LowBlock& low, std::uint8_t drive)
{
    constexpr unsigned tries = 3;
    bool const extended = has_extensions(low, drive);
    for (unsigned i = 0; i < tries; ++i) {
        if (read_first_sector(low, drive, extended)) {
            std::uint64_t signature_at = boot_sector + 510;
            asm volatile("" : "+r"(signature_at) : : "memory");
            std::uint16_t signature;
            __builtin_memcpy(&signature, reinterpret_cast<void const*>(signature_at), sizeof(signature));
            return signature == 0xAA55;
        }
        RealRegisters reset;
        reset.edx = drive;
        low.interrupt(0x13, reset);
    }
    return false;
}

} // namespace undercroft::multiboot2
