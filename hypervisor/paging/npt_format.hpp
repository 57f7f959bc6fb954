// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// AMD nested page tables: ordinary long-mode entries (AMD APM vol. 2, 5.3.3 and 15.25.5).
// Every nested walk counts as a user access, so U/S is always 1.
#include <cstdint>

#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::paging {

struct NptFormat {
    using Entry = std::uint64_t;

    static constexpr Entry present = 1ULL << 0;
    static constexpr Entry writable = 1ULL << 1;
    static constexpr Entry user = 1ULL << 2;
    static constexpr Entry write_through_bit = 1ULL << 3;
    static constexpr Entry cache_disable_bit = 1ULL << 4;
    static constexpr Entry accessed = 1ULL << 5;
    static constexpr Entry dirty = 1ULL << 6;
    static constexpr Entry large = 1ULL << 7; ///< levels 2 and 3; at level 1 this bit is PAT
    /// Available to software, ignored by hardware. Set in every leaf that has a target, so
    /// that a leaf without rights still knows where it leads.
    static constexpr Entry mapped = 1ULL << 52;
    static constexpr Entry no_execute = 1ULL << 63;
    static constexpr Entry address_mask = 0x000F'FFFF'FFFF'F000ULL;

    static constexpr Entry table(std::uint64_t host) { return host | present | writable | user | accessed; }
    static constexpr bool is_table(Entry e, unsigned level) { return level > 1 && (e & present) && !(e & mapped); }
    static constexpr bool is_leaf(Entry e) { return (e & mapped) != 0; }
    static constexpr std::uint64_t address(Entry e) { return e & address_mask; }

    /// Accessed and dirty are preset: the processor then never writes to the tables.
    static constexpr Entry leaf(std::uint64_t host, Permissions rights, MemoryType type, unsigned level)
    {
        return with_rights(host | mapped | user | accessed | dirty | type_bits(type) | (level > 1 ? large : 0), rights);
    }
    static constexpr Entry with_rights(Entry e, Permissions rights)
    {
        return (e & ~(present | writable | no_execute)) | (rights.any() ? present : 0) | (rights.write ? writable : 0) |
               (rights.execute ? 0 : no_execute);
    }
    static constexpr Entry with_type(Entry e, MemoryType type)
    {
        return (e & ~(write_through_bit | cache_disable_bit)) | type_bits(type);
    }
    static constexpr Permissions rights(Entry e)
    {
        bool const p = (e & present) != 0;
        return {p, p && (e & writable), p && !(e & no_execute)};
    }
    /// The `index`th part of a large leaf, one level further down.
    static constexpr Entry split(Entry e, unsigned level, unsigned index)
    {
        Entry const part = e + (static_cast<Entry>(index) << (12 + 9 * (level - 2)));
        return level == 2 ? part & ~large : part;
    }
    /// Present means readable, hence no execute-only and no write-only pages.
    static constexpr bool can_express(Permissions r, bool /*execute_only*/) { return r.read || !r.any(); }
    /// PAT entries 0, 1 and 3 of the host (WB, WT, UC) are the same after reset, in UEFI
    /// and in every common system; others would depend on the firmware's PAT.
    static constexpr bool can_express(MemoryType t)
    {
        return t == MemoryType::write_back || t == MemoryType::write_through || t == MemoryType::uncacheable;
    }
    static constexpr MemoryType type(Entry e)
    {
        if (e & cache_disable_bit)
            return MemoryType::uncacheable;
        return e & write_through_bit ? MemoryType::write_through : MemoryType::write_back;
    }

private:
    static constexpr Entry type_bits(MemoryType t)
    {
        if (t == MemoryType::write_back)
            return 0;
        return t == MemoryType::write_through ? write_through_bit : write_through_bit | cache_disable_bit;
    }
};

// APM vol. 2, figures 5-20 to 5-25 and 15.25.5.
static_assert(NptFormat::table(0x1000) == 0x1027);
static_assert(NptFormat::leaf(0x20'0000, rights_all, MemoryType::write_back, 2) == 0x0010'0000'0020'00E7);
static_assert(NptFormat::leaf(0x5000, rights_read, MemoryType::uncacheable, 1) == 0x8010'0000'0000'507D);
static_assert((NptFormat::leaf(0x5000, rights_none, MemoryType::write_back, 1) & 1) == 0);
static_assert(NptFormat::split(0x0010'0000'4000'00E7, 3, 3) == 0x0010'0000'4060'00E7);
static_assert(NptFormat::split(0x0010'0000'0020'00E7, 2, 511) == 0x0010'0000'003F'F067);

} // namespace undercroft::paging
