// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/paging/guest_walk.hpp"

#include <algorithm>
#include <cstring>

namespace undercroft::paging {
namespace {

constexpr std::uint64_t cr0_wp = 1ULL << 16;
constexpr std::uint64_t cr0_pg = 1ULL << 31;
constexpr std::uint64_t cr4_pse = 1ULL << 4;
constexpr std::uint64_t cr4_pae = 1ULL << 5;
constexpr std::uint64_t cr4_la57 = 1ULL << 12;
constexpr std::uint64_t efer_lma = 1ULL << 10;

constexpr std::uint64_t present = 1ULL << 0;
constexpr std::uint64_t writable = 1ULL << 1;
constexpr std::uint64_t user = 1ULL << 2;
constexpr std::uint64_t large = 1ULL << 7;
constexpr std::uint64_t address_mask = 0x000F'FFFF'FFFF'F000ULL;

using Result = std::expected<Translation, WalkError>;

/// What each level must grant: some of `writable` and `user`.
std::uint64_t required_bits(backend::PagingState const& paging, WalkAccess access)
{
    bool const as_user = paging.cpl == 3;
    bool const obeys_w = as_user || (paging.cr0 & cr0_wp);
    return (as_user ? user : 0) | (access == WalkAccess::write && obeys_w ? writable : 0);
}

WalkError refusal(std::uint64_t entry)
{
    return entry & present ? WalkError::forbidden : WalkError::not_present;
}

/// One load: another CPU may be changing the entry.
template <typename Entry>
bool read_entry(core::GuestMemory const& memory, std::uint64_t table, unsigned index, std::uint64_t& entry)
{
    std::byte const* const place = memory.view(Gpa{table + index * sizeof(Entry)}, sizeof(Entry));
    if (place == nullptr)
        return false;
    struct [[gnu::packed, gnu::may_alias]] Cell {
        Entry value;
    };
    entry = reinterpret_cast<Cell const volatile*>(place)->value;
    return true;
}

Result page(std::uint64_t base, std::uint64_t bytes, std::uint64_t linear)
{
    std::uint64_t const offset_mask = bytes - 1;
    return Translation{Gpa{(base & address_mask & ~offset_mask) | (linear & offset_mask)}, bytes};
}

/// PAE and long mode: 8-byte entries, 9 bits per level, from `levels` down to 1.
Result walk_wide(core::GuestMemory const& memory, std::uint64_t table, unsigned levels, std::uint64_t linear,
                 std::uint64_t need, bool pages_1g)
{
    for (unsigned level = levels; level >= 1; --level) {
        unsigned const shift = 12 + 9 * (level - 1);
        std::uint64_t entry = 0;
        if (!read_entry<std::uint64_t>(memory, table, (linear >> shift) & 511, entry))
            return std::unexpected(WalkError::unreadable);
        if ((entry & (present | need)) != (present | need))
            return std::unexpected(refusal(entry));
        if (level == 1 || ((entry & large) && (level == 2 || (level == 3 && pages_1g))))
            return page(entry, 1ULL << shift, linear);
        table = entry & address_mask;
    }
    return std::unexpected(WalkError::not_present);
}

/// PAE's four page-directory-pointer entries have no U/S and W bits.
Result walk_pae(core::GuestMemory const& memory, std::uint64_t cr3, std::uint64_t linear, std::uint64_t need)
{
    std::uint64_t entry = 0;
    if (!read_entry<std::uint64_t>(memory, cr3 & 0xFFFF'FFE0, static_cast<unsigned>(linear >> 30) & 3, entry))
        return std::unexpected(WalkError::unreadable);
    if (!(entry & present))
        return std::unexpected(WalkError::not_present);
    return walk_wide(memory, entry & address_mask, 2, linear, need, false);
}

Result walk_32(core::GuestMemory const& memory, backend::PagingState const& paging, std::uint64_t linear,
               std::uint64_t need)
{
    std::uint64_t entry = 0;
    if (!read_entry<std::uint32_t>(memory, paging.cr3 & 0xFFFF'F000, static_cast<unsigned>(linear >> 22), entry))
        return std::unexpected(WalkError::unreadable);
    if ((entry & (present | need)) != (present | need))
        return std::unexpected(refusal(entry));
    if ((entry & large) && (paging.cr4 & cr4_pse)) {
        // PSE-36: bits 20:13 are address bits 39:32.
        std::uint64_t const base = (entry & 0xFFC0'0000) | ((entry >> 13 & 0xFF) << 32);
        return page(base, 1ULL << 22, linear);
    }
    std::uint64_t const table = entry & 0xFFFF'F000;
    if (!read_entry<std::uint32_t>(memory, table, static_cast<unsigned>(linear >> 12) & 1023, entry))
        return std::unexpected(WalkError::unreadable);
    if ((entry & (present | need)) != (present | need))
        return std::unexpected(refusal(entry));
    return page(entry, page_bytes, linear);
}

bool in_long_mode(backend::PagingState const& paging)
{
    return (paging.efer & efer_lma) && (paging.cr0 & cr0_pg);
}

bool canonical(std::uint64_t linear, unsigned bits)
{
    auto const top = static_cast<std::int64_t>(linear) >> (bits - 1);
    return top == 0 || top == -1;
}

/// Calls visit(gpa, offset, bytes) for each piece of [at, at + bytes) that lies in one page.
template <typename Visit>
std::expected<void, WalkError> for_each_page(core::GuestMemory const& memory, backend::PagingState const& paging,
                                             Gva at, std::size_t bytes, WalkAccess access, Visit&& visit)
{
    for (std::size_t done = 0; done < bytes;) {
        Gva const linear = wrap_linear(paging, at.value + done);
        std::size_t const piece = std::min<std::size_t>(bytes - done, page_bytes - linear.value % page_bytes);
        auto const where = translate(memory, paging, linear, access);
        if (!where)
            return std::unexpected(where.error());
        if (!visit(where->gpa, done, piece))
            return std::unexpected(WalkError::unreadable);
        done += piece;
    }
    return {};
}

} // namespace

Gva wrap_linear(backend::PagingState const& paging, std::uint64_t address)
{
    bool const wide = in_long_mode(paging) && paging.cs_long;
    return Gva{wide ? address : address & 0xFFFF'FFFF};
}

std::expected<Translation, WalkError> translate(core::GuestMemory const& memory, backend::PagingState const& paging,
                                                Gva linear, WalkAccess access)
{
    std::uint64_t const need = required_bits(paging, access);
    if (!(paging.cr0 & cr0_pg))
        return Translation{Gpa{linear.value & 0xFFFF'FFFF}, page_bytes};
    if (in_long_mode(paging)) {
        unsigned const levels = paging.cr4 & cr4_la57 ? 5 : 4;
        if (!canonical(linear.value, 12 + 9 * levels))
            return std::unexpected(WalkError::not_canonical);
        return walk_wide(memory, paging.cr3 & address_mask, levels, linear.value, need, true);
    }
    std::uint64_t const narrow = linear.value & 0xFFFF'FFFF;
    if (paging.cr4 & cr4_pae)
        return walk_pae(memory, paging.cr3, narrow, need);
    return walk_32(memory, paging, narrow, need);
}

std::expected<void, WalkError> read_virtual(core::GuestMemory const& memory, backend::PagingState const& paging,
                                            Gva from, std::span<std::byte> into)
{
    return for_each_page(
        memory, paging, from, into.size(), WalkAccess::read,
        [&](Gpa gpa, std::size_t offset, std::size_t bytes) { return memory.read(gpa, into.subspan(offset, bytes)); });
}

std::expected<void, WalkError> write_virtual(core::GuestMemory& memory, backend::PagingState const& paging, Gva to,
                                             std::span<std::byte const> from)
{
    auto const check = [&](Gpa gpa, std::size_t, std::size_t bytes) { return memory.view(gpa, bytes) != nullptr; };
    if (auto const ok = for_each_page(memory, paging, to, from.size(), WalkAccess::write, check); !ok)
        return ok;
    return for_each_page(
        memory, paging, to, from.size(), WalkAccess::write,
        [&](Gpa gpa, std::size_t offset, std::size_t bytes) { return memory.write(gpa, from.subspan(offset, bytes)); });
}

std::size_t fetch_instruction(core::GuestMemory const& memory, backend::PagingState const& paging,
                              std::uint64_t cs_base, std::uint64_t rip, std::span<std::byte, 16> into)
{
    bool const wide = in_long_mode(paging) && paging.cs_long;
    Gva const start = wrap_linear(paging, wide ? rip : cs_base + (rip & 0xFFFF'FFFF));
    // Nearly always one page: in place, without a call for the copy.
    if (start.value % page_bytes <= page_bytes - into.size()) {
        auto const where = translate(memory, paging, start, WalkAccess::read);
        std::byte const* const code = where ? memory.view(where->gpa, into.size()) : nullptr;
        if (code == nullptr)
            return 0;
        __builtin_memcpy(into.data(), code, into.size());
        return into.size();
    }
    std::size_t got = 0;
    (void)for_each_page(memory, paging, start, into.size(), WalkAccess::read,
                        [&](Gpa gpa, std::size_t offset, std::size_t bytes) {
                            if (!memory.read(gpa, into.subspan(offset, bytes)))
                                return false;
                            got = offset + bytes;
                            return true;
                        });
    return got;
}

} // namespace undercroft::paging
