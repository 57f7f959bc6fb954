// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/paging/memory_type.hpp"

#include <algorithm>

namespace undercroft::paging {
namespace {

constexpr std::uint64_t fixed_end = 1ULL << 20;
constexpr std::uint64_t no_address = ~0ULL;

/// Bits 2:0 of a type field. AMD keeps RdMem and WrMem in bits 4:3 of fixed ranges (APM
/// 7.9.1); reserved encodings (2, 3, 7) cannot be written, and would be the safest: UC.
MemoryType decode_type(std::uint64_t field)
{
    auto const type = static_cast<MemoryType>(field & 7);
    bool const known = type == MemoryType::write_combining || type == MemoryType::write_through ||
                       type == MemoryType::write_protected || type == MemoryType::write_back;
    return known ? type : MemoryType::uncacheable;
}

/// Which fixed register and byte decide, and how far that byte reaches.
struct FixedField {
    unsigned reg, byte;
    std::uint64_t granule;
};
FixedField fixed_field(std::uint64_t address)
{
    auto const within = [&](std::uint64_t base, std::uint64_t granule, unsigned first) {
        auto const field = static_cast<unsigned>((address - base) / granule);
        return FixedField{first + field / 8, field % 8, granule};
    };
    if (address < 0x80000)
        return within(0, 0x10000, 0);
    return address < 0xC0000 ? within(0x80000, 0x4000, 1) : within(0xC0000, 0x1000, 3);
}

/// Two registers over one address (SDM 12.11.4.1, APM 7.7.3): UC wins, WT over WB; others are
/// undefined, and UC is what cannot corrupt.
MemoryType combine(MemoryType a, MemoryType b)
{
    if (a == b)
        return a;
    auto const either = [&](MemoryType x, MemoryType y) { return (a == x && b == y) || (a == y && b == x); };
    return either(MemoryType::write_through, MemoryType::write_back) ? MemoryType::write_through
                                                                     : MemoryType::uncacheable;
}

/// The smallest x > address with (x & mask) == value, or no_address. x has the address's bits
/// above some bit p, 1 instead of 0 at p, and the least allowed below.
std::uint64_t next_match(std::uint64_t address, std::uint64_t mask, std::uint64_t value)
{
    for (unsigned p = 12; p < 52; ++p) {
        std::uint64_t const bit = 1ULL << p, below = bit - 1, above = ~(below | bit);
        bool const may_be_one = !(mask & bit) || (value & bit);
        if (!(address & bit) && may_be_one && ((address ^ value) & mask & above) == 0)
            return (address & above) | bit | (value & mask & below);
    }
    return no_address;
}

} // namespace

MtrrMap::MtrrMap(MtrrRegisters const& registers, unsigned address_bits)
    : registers_{&registers}, address_mask_{((1ULL << std::min(address_bits, 52U)) - 1) & ~0xFFFULL}
{
}

bool MtrrMap::enabled() const
{
    return (registers_->default_type & (1U << 11)) != 0;
}

bool MtrrMap::fixed_apply(std::uint64_t address) const
{
    bool const supported = (registers_->capability & (1U << 8)) != 0;
    return address < fixed_end && supported && (registers_->default_type & (1U << 10)) != 0;
}

MemoryType MtrrMap::variable_type(std::uint64_t address) const
{
    std::optional<MemoryType> found;
    for (std::size_t i = 0; i < registers_->variable_count(); ++i) {
        auto const& v = registers_->variable[i];
        bool const valid = (v.mask & (1U << 11)) != 0;
        if (!valid || ((address ^ v.base) & v.mask & address_mask_) != 0)
            continue;
        found = found ? combine(*found, decode_type(v.base)) : decode_type(v.base);
    }
    return found.value_or(decode_type(registers_->default_type));
}

MemoryType MtrrMap::type_at(std::uint64_t address) const
{
    if (!enabled())
        return MemoryType::uncacheable;
    if (!fixed_apply(address))
        return variable_type(address);
    FixedField const field = fixed_field(address);
    return decode_type(registers_->fixed[field.reg] >> (8 * field.byte));
}

std::uint64_t MtrrMap::next_change(std::uint64_t address) const
{
    if (!enabled())
        return no_address;
    if (fixed_apply(address)) {
        std::uint64_t const granule = fixed_field(address).granule;
        return (address | (granule - 1)) + 1;
    }
    std::uint64_t next = no_address;
    for (std::size_t i = 0; i < registers_->variable_count(); ++i) {
        auto const& v = registers_->variable[i];
        if (!(v.mask & (1U << 11)))
            continue;
        std::uint64_t const mask = v.mask & address_mask_;
        bool const inside = ((address ^ v.base) & mask) == 0;
        // A match ends, at the earliest, where the lowest bit that is compared changes.
        std::uint64_t const end = mask == 0 ? no_address : (address | ((mask & (0 - mask)) - 1)) + 1;
        next = std::min(next, inside ? end : next_match(address, mask, v.base & mask));
    }
    return next;
}

TypedRange MtrrMap::first_range(std::uint64_t begin, std::uint64_t end) const
{
    MemoryType const type = type_at(begin);
    std::uint64_t at = begin;
    do
        at = std::min(end, next_change(at));
    while (at < end && type_at(at) == type);
    return {begin, at, type};
}

std::optional<MemoryType> MtrrMap::type_of(std::uint64_t begin, std::uint64_t end) const
{
    TypedRange const range = first_range(begin, end);
    return range.end == end ? std::optional{range.type} : std::nullopt;
}

MemoryType pat_type(std::uint64_t pat, unsigned index)
{
    auto const field = pat >> (8 * (index % 8)) & 7;
    return field == 7 ? MemoryType::uncached_minus : decode_type(field);
}

MemoryType effective_type(MemoryType mtrr, MemoryType pat)
{
    using enum MemoryType;
    if (pat == write_combining)
        return write_combining;
    if (pat == uncacheable || mtrr == uncacheable)
        return uncacheable;
    switch (mtrr) {
    case write_combining:
        return pat == uncached_minus || pat == write_back ? write_combining : uncacheable;
    case write_through:
        return pat == uncached_minus ? uncacheable : pat == write_back ? write_through : pat;
    case write_protected:
        return pat == uncached_minus ? write_combining : pat == write_back ? write_protected : pat;
    default:
        return pat == uncached_minus ? uncacheable : pat;
    }
}

} // namespace undercroft::paging
