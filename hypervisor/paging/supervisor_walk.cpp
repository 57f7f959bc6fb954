// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/paging/supervisor_walk.hpp"

namespace undercroft::paging {
namespace {

constexpr std::uint64_t cr4_la57 = 1ULL << 12;
constexpr std::uint64_t cr4_supervisor_keys = 1ULL << 24;
constexpr std::uint64_t efer_nxe = 1ULL << 11;

constexpr std::uint64_t present = 1ULL << 0, writable = 1ULL << 1, user = 1ULL << 2;
constexpr std::uint64_t write_through = 1ULL << 3, cache_disable = 1ULL << 4;
constexpr std::uint64_t accessed = 1ULL << 5, dirty = 1ULL << 6;
constexpr std::uint64_t large = 1ULL << 7; ///< in the last level: PAT
constexpr std::uint64_t large_pat = 1ULL << 12;
constexpr std::uint64_t no_execute = 1ULL << 63;
constexpr std::uint64_t address_mask = 0x000F'FFFF'FFFF'F000ULL;

unsigned levels(backend::PagingState const& paging)
{
    return paging.cr4 & cr4_la57 ? 5 : 4;
}

/// One load: another CPU may be changing the entry.
std::optional<std::uint64_t> read_entry(core::GuestMemory const& memory, std::uint64_t at)
{
    auto const* place = memory.view(Gpa{at}, sizeof(std::uint64_t));
    if (place == nullptr)
        return {};
    struct [[gnu::packed, gnu::may_alias]] Entry {
        std::uint64_t value;
    };
    return reinterpret_cast<Entry const volatile*>(place)->value;
}

/// `all`: AND of the entries on the way, `any`: their OR.
std::optional<SupervisorTranslation> leaf(std::uint64_t entry, unsigned level, std::uint64_t linear, std::uint64_t all,
                                          std::uint64_t any)
{
    if (all & user)
        return {};
    std::uint64_t const offset_mask = (1ULL << (12 + 9 * (level - 1))) - 1;
    std::uint64_t const pat = level == 1 ? large : large_pat;
    std::uint64_t const base = entry & address_mask & ~(level == 1 ? 0 : large_pat);
    if (base & offset_mask)
        return {}; // reserved in large pages
    return SupervisorTranslation{.gpa = Gpa{base | (linear & offset_mask)},
                                 .writable = (all & writable) != 0 && (entry & dirty) != 0,
                                 .executable = (any & no_execute) == 0,
                                 .plain_type = (entry & (write_through | cache_disable | pat)) == 0};
}

} // namespace

bool is_canonical(backend::PagingState const& paging, std::uint64_t linear)
{
    auto const top = static_cast<std::int64_t>(linear) >> (11 + 9 * levels(paging));
    return top == 0 || top == -1;
}

std::optional<SupervisorTranslation> translate_supervisor(core::GuestMemory const& memory,
                                                          backend::PagingState const& paging, Gva linear)
{
    if (!is_canonical(paging, linear.value) || (paging.cr4 & cr4_supervisor_keys))
        return {};
    std::uint64_t const reserved = paging.efer & efer_nxe ? 0 : no_execute;
    std::uint64_t table = paging.cr3 & address_mask, all = ~0ULL, any = 0;
    for (unsigned level = levels(paging); level >= 1; --level) {
        unsigned const shift = 12 + 9 * (level - 1);
        auto const entry = read_entry(memory, table + (linear.value >> shift & 511) * sizeof(std::uint64_t));
        if (!entry || (*entry & (present | accessed)) != (present | accessed) || (*entry & reserved))
            return {};
        all &= *entry;
        any |= *entry;
        if (level == 1 || ((*entry & large) && level <= 3))
            return leaf(*entry, level, linear.value, all, any);
        if (*entry & large)
            return {}; // reserved in the upper levels
        table = *entry & address_mask;
    }
    return {};
}

} // namespace undercroft::paging
