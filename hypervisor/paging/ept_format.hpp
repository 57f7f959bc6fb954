// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Intel extended page tables (Intel SDM vol. 3C, 29.3.2, tables 29-1 to 29-7).
#include <cstdint>

#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::paging {

struct EptFormat {
    using Entry = std::uint64_t;

    static constexpr Entry read = 1ULL << 0;
    static constexpr Entry write = 1ULL << 1;
    static constexpr Entry execute = 1ULL << 2;
    static constexpr unsigned type_shift = 3; ///< bits 5:3, leaves only
    static constexpr Entry ignore_pat = 1ULL << 6;
    static constexpr Entry large = 1ULL << 7;
    static constexpr Entry accessed = 1ULL << 8; ///< ignored unless EPTP bit 6 is set
    static constexpr Entry dirty = 1ULL << 9;
    /// Ignored by hardware (bits 56:52). Set in every leaf that has a target, so that a
    /// leaf without rights still knows where it leads.
    static constexpr Entry mapped = 1ULL << 52;
    static constexpr Entry address_mask = 0x000F'FFFF'FFFF'F000ULL;

    static constexpr Entry table(std::uint64_t host) { return host | read | write | execute; }
    static constexpr bool is_table(Entry e, unsigned level)
    {
        return level > 1 && (e & (read | write | execute)) && !(e & mapped);
    }
    static constexpr bool is_leaf(Entry e) { return (e & mapped) != 0; }
    static constexpr std::uint64_t address(Entry e) { return e & address_mask; }

    /// IPAT stays 0: the guest's PAT may weaken the type given here (memory_type.hpp).
    static constexpr Entry leaf(std::uint64_t host, Permissions rights, MemoryType type, unsigned level)
    {
        Entry const type_bits = static_cast<Entry>(type) << type_shift;
        return with_rights(host | mapped | accessed | dirty | type_bits | (level > 1 ? large : 0), rights);
    }
    static constexpr Entry with_rights(Entry e, Permissions rights)
    {
        return (e & ~(read | write | execute)) | (rights.read ? read : 0) | (rights.write ? write : 0) |
               (rights.execute ? execute : 0);
    }
    static constexpr Entry with_type(Entry e, MemoryType type)
    {
        return (e & ~(Entry{7} << type_shift)) | static_cast<Entry>(type) << type_shift;
    }
    static constexpr Permissions rights(Entry e) { return {(e & read) != 0, (e & write) != 0, (e & execute) != 0}; }
    /// The `index`th part of a large leaf, one level further down.
    static constexpr Entry split(Entry e, unsigned level, unsigned index)
    {
        Entry const part = e + (static_cast<Entry>(index) << (12 + 9 * (level - 2)));
        return level == 2 ? part & ~large : part;
    }
    /// Write without read is an EPT misconfiguration; execute-only needs IA32_VMX_EPT_VPID_CAP bit 0.
    static constexpr bool can_express(Permissions r, bool execute_only)
    {
        return r.read || (!r.write && (execute_only || !r.execute));
    }
    static constexpr bool can_express(MemoryType t)
    {
        return t == MemoryType::uncacheable || t == MemoryType::write_combining || t == MemoryType::write_through ||
               t == MemoryType::write_protected || t == MemoryType::write_back;
    }
    static constexpr MemoryType type(Entry e) { return static_cast<MemoryType>((e >> type_shift) & 7); }
};

static_assert(EptFormat::table(0x1000) == 0x1007);
static_assert(EptFormat::leaf(0x20'0000, rights_all, MemoryType::write_back, 2) == 0x0010'0000'0020'03B7);
static_assert(EptFormat::leaf(0x5000, rights_read, MemoryType::uncacheable, 1) == 0x0010'0000'0000'5301);
static_assert((EptFormat::leaf(0x5000, rights_none, MemoryType::write_back, 1) & 7) == 0);
static_assert(EptFormat::split(0x0010'0000'4000'03B7, 3, 3) == 0x0010'0000'4060'03B7);
static_assert(EptFormat::split(0x0010'0000'0020'03B7, 2, 511) == 0x0010'0000'003F'F337);
static_assert(!EptFormat::can_express(Permissions{false, true, false}, true));

} // namespace undercroft::paging
