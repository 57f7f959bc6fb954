// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The nested page table (guest-physical to host-physical), written once for both vendors.
// Format describes entries (npt_format.hpp, ept_format.hpp), Pool gives table pages
// (page_pool.hpp), Tlb takes flush requests, Memory reads and writes entries (tests keep
// each past state). Four levels: guest-physical addresses up to 48 bits, host-physical 52.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "base/units.hpp"
#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::paging {

enum class TableError : std::uint8_t {
    out_of_pages,   ///< the pool is too small for the tables needed
    bad_range,      ///< unaligned, empty, overflowing or beyond the address width
    not_expressible ///< rights or memory type that this format does not have
};

/// What the processor offers (CPUID 8000_0001h EDX[26] and 8000_0008h EAX[7:0]; on Intel
/// IA32_VMX_EPT_VPID_CAP bits 0, 16 and 17 and the same CPUID leaf).
struct TableCapabilities {
    bool pages_1g = false;
    bool pages_2m = true;
    bool execute_only = false;
    std::uint8_t address_bits = 36; ///< MAXPHYADDR
};

/// [begin, begin + bytes), both multiples of 4,096.
struct GpaRange {
    Gpa begin{};
    std::uint64_t bytes = 0;
};

struct Mapping {
    bool mapped = false; ///< has a target, perhaps without any right
    std::uint64_t host = 0;
    Permissions rights{};
    MemoryType type = MemoryType::uncacheable;
    std::uint64_t page_bytes = 0; ///< size of the entry that decides
};

/// Entries are read by processors while they change: each is one 64-bit store.
struct DirectMemory {
    static std::uint64_t load(std::uint64_t const& entry) { return __atomic_load_n(&entry, __ATOMIC_ACQUIRE); }
    static void store(std::uint64_t& entry, std::uint64_t value) { __atomic_store_n(&entry, value, __ATOMIC_RELEASE); }
};

/// Operations change everything they were asked to or, on error, nothing. At every
/// moment each page outside the range keeps its translation: a large page is split by
/// building the lower table completely and linking it with one store. Callers
/// serialise operations; CPUs may walk the table at any time. After an operation that
/// took away a right, or changed a target or type, Tlb::request_flush() has been called:
/// the change holds only when every CPU has flushed.
template <typename Format, typename Pool, typename Tlb, typename Memory = DirectMemory>
class NestedTable {
public:
    using Entry = std::uint64_t;
    static constexpr unsigned levels = 4;
    static constexpr unsigned entries = 512;
    static constexpr unsigned max_gpa_bits = 48;
    using Result = std::expected<void, TableError>;

    NestedTable(Pool& pool, Tlb& tlb, TableCapabilities capabilities)
        : pool_{&pool}, tlb_{&tlb}, capabilities_{capabilities}
    {
    }

    /// Takes the root page from the pool; before anything else.
    [[nodiscard]] Result create()
    {
        root_ = pool_->allocate();
        if (root_ == nullptr)
            return std::unexpected(TableError::out_of_pages);
        return {};
    }
    /// Host-physical address of the root, for nCR3 or the EPTP.
    [[nodiscard]] std::uint64_t root() const { return pool_->host_address(root_); }
    /// Guest-physical addresses end here.
    [[nodiscard]] std::uint64_t limit() const
    {
        return 1ULL << std::min<unsigned>(max_gpa_bits, capabilities_.address_bits);
    }

    /// Maps guest-physical to the same host-physical addresses with the largest pages that
    /// the processor has; replaces what was there.
    [[nodiscard]] Result map_identity(GpaRange range, Permissions rights, MemoryType type)
    {
        return map(range, range.begin.value, rights, type);
    }
    /// Maps one page elsewhere, keeping nothing of its old entry.
    [[nodiscard]] Result redirect(Gpa page, std::uint64_t host, Permissions rights = rights_read,
                                  MemoryType type = MemoryType::write_back)
    {
        return map({page, page_bytes}, host, rights, type);
    }
    /// Changes the rights of mapped pages; holes stay holes. Rights may be none: the
    /// target is remembered.
    [[nodiscard]] Result set_permissions(GpaRange range, Permissions rights)
    {
        if (!Format::can_express(rights, capabilities_.execute_only))
            return std::unexpected(TableError::not_expressible);
        return change(range, Change{Change::Kind::rights, rights});
    }
    /// Changes the memory type of mapped pages; holes stay holes.
    [[nodiscard]] Result set_type(GpaRange range, MemoryType type)
    {
        if (!Format::can_express(type))
            return std::unexpected(TableError::not_expressible);
        return change(range, Change{.kind = Change::Kind::type, .type = type});
    }
    [[nodiscard]] Result unmap(GpaRange range) { return change(range, Change{Change::Kind::unmap}); }

    [[nodiscard]] Mapping lookup(Gpa gpa) const
    {
        if (gpa.value >= limit())
            return {};
        Entry const* table = root_;
        for (unsigned level = levels;; --level) {
            Entry const e = load(table[index(gpa.value, level)]);
            if (Format::is_table(e, level)) {
                table = pool_->pointer(Format::address(e));
                continue;
            }
            if (!Format::is_leaf(e))
                return {.page_bytes = span(level)};
            std::uint64_t const inside = gpa.value & (span(level) - 1);
            return {true, Format::address(e) + inside, Format::rights(e), Format::type(e), span(level)};
        }
    }

    /// The entry of `level` for this address; larger pages on the way are split, which changes no translation but asks
    /// for no flush either: before any CPU uses the table. nullptr: out of pages, or nothing is mapped there.
    [[nodiscard]] Entry* entry_at(Gpa gpa, unsigned level)
    {
        Entry* table = root_;
        for (unsigned at = levels; at > level; --at) {
            Entry& slot = table[index(gpa.value, at)];
            Entry const e = load(slot);
            if (!Format::is_table(e, at)) {
                Entry* const child = Format::is_leaf(e) ? pool_->allocate() : nullptr;
                if (child == nullptr)
                    return nullptr;
                for (unsigned part = 0; part < entries; ++part)
                    Memory::store(child[part], split_part(e, at, part));
                Memory::store(slot, Format::table(pool_->host_address(child)));
            }
            table = pool_->pointer(Format::address(load(slot)));
        }
        return &table[index(gpa.value, level)];
    }

    /// Calls visit(Gpa first, unsigned level, Entry raw, Mapping) for each leaf, in rising order.
    template <typename Visitor>
    void walk(Visitor&& visit) const
    {
        walk_table(root_, levels, 0, visit);
    }

private:
    struct Change {
        enum class Kind : std::uint8_t { map, rights, type, unmap } kind;
        Permissions rights{};
        MemoryType type = MemoryType::uncacheable;
        std::uint64_t host_minus_gpa = 0;

        [[nodiscard]] Entry apply(Entry old, unsigned level, std::uint64_t gpa) const
        {
            switch (kind) {
            case Kind::map:
                return Format::leaf(gpa + host_minus_gpa, rights, type, level);
            case Kind::rights:
                return Format::is_leaf(old) ? Format::with_rights(old, rights) : old;
            case Kind::type:
                return Format::is_leaf(old) ? Format::with_type(old, type) : old;
            case Kind::unmap:
                break;
            }
            return 0;
        }
    };
    struct Interval {
        std::uint64_t begin, end;
    };

    static constexpr std::uint64_t span(unsigned level) { return 1ULL << (12 + 9 * (level - 1)); }
    static constexpr unsigned index(std::uint64_t gpa, unsigned level)
    {
        return static_cast<unsigned>(gpa >> (12 + 9 * (level - 1))) & (entries - 1);
    }
    static Entry load(Entry const& e) { return Memory::load(e); }

    [[nodiscard]] bool valid(GpaRange r) const
    {
        bool const aligned = ((r.begin.value | r.bytes) & (page_bytes - 1)) == 0;
        return aligned && r.bytes != 0 && r.begin.value < limit() && r.bytes <= limit() - r.begin.value;
    }

    Result map(GpaRange range, std::uint64_t host, Permissions rights, MemoryType type)
    {
        if (!Format::can_express(rights, capabilities_.execute_only) || !Format::can_express(type))
            return std::unexpected(TableError::not_expressible);
        std::uint64_t const host_limit = 1ULL << std::min<unsigned>(52, capabilities_.address_bits);
        if (host % page_bytes != 0 || host >= host_limit || range.bytes > host_limit - host)
            return std::unexpected(TableError::bad_range);
        return change(range, Change{Change::Kind::map, rights, type, host - range.begin.value});
    }

    Result change(GpaRange range, Change const& what)
    {
        if (!valid(range))
            return std::unexpected(TableError::bad_range);
        Interval const where{range.begin.value, range.begin.value + range.bytes};
        if (count_tables(root_, 0, levels, 0, where, what) > pool_->available())
            return std::unexpected(TableError::out_of_pages);
        flush_needed_ = false;
        change_table(root_, levels, 0, where, what);
        if (flush_needed_)
            tlb_->request_flush();
        return {};
    }

    /// Whether an entry of this level can itself hold the result.
    [[nodiscard]] bool leaf_here(Entry e, unsigned level, std::uint64_t gpa, Interval where, Change const& what) const
    {
        bool const whole = where.begin <= gpa && where.end - gpa >= span(level) && where.end > gpa;
        if (!whole || Format::is_table(e, level))
            return false;
        if (what.kind != Change::Kind::map)
            return true;
        bool const allowed =
            level == 1 || (level == 2 && capabilities_.pages_2m) || (level == 3 && capabilities_.pages_1g);
        return allowed && ((gpa + what.host_minus_gpa) & (span(level) - 1)) == 0;
    }
    /// Whether the change leaves all of the entry as it is.
    static bool untouched(Entry e, unsigned level, std::uint64_t gpa, Change const& what)
    {
        return !Format::is_table(e, level) && what.apply(e, level, gpa) == e;
    }

    /// Calls visit(slot, gpa) for each entry of a table at `base` that overlaps `where`.
    template <typename Visit>
    static void for_each_slot(unsigned level, std::uint64_t base, Interval where, Visit&& visit)
    {
        std::uint64_t const from = std::max(where.begin, base);
        std::uint64_t const to = std::min(where.end, base + span(level) * entries);
        for (unsigned slot = index(from, level); slot < entries && base + slot * span(level) < to; ++slot)
            visit(slot, base + slot * span(level));
    }

    static Entry split_part(Entry e, unsigned level, unsigned slot)
    {
        return Format::is_leaf(e) ? Format::split(e, level, slot) : 0;
    }

    /// Table pages that change_table() will take. `table` is nullptr for a table that
    /// does not exist yet and will be split from `parent` (an entry of level + 1).
    std::size_t count_tables(Entry const* table, Entry parent, unsigned level, std::uint64_t base, Interval where,
                             Change const& what) const
    {
        std::size_t count = 0;
        for_each_slot(level, base, where, [&](unsigned slot, std::uint64_t gpa) {
            Entry const e = table != nullptr ? load(table[slot]) : split_part(parent, level + 1, slot);
            if (untouched(e, level, gpa, what) || leaf_here(e, level, gpa, where, what))
                return;
            bool const exists = Format::is_table(e, level);
            Entry const* child = exists ? pool_->pointer(Format::address(e)) : nullptr;
            count += (exists ? 0 : 1) + count_tables(child, e, level - 1, gpa, where, what);
        });
        return count;
    }

    void change_table(Entry* table, unsigned level, std::uint64_t base, Interval where, Change const& what)
    {
        for_each_slot(level, base, where, [&](unsigned slot, std::uint64_t gpa) {
            Entry const e = load(table[slot]);
            if (untouched(e, level, gpa, what))
                return;
            if (leaf_here(e, level, gpa, where, what)) {
                store(table[slot], what.apply(e, level, gpa), level);
                return;
            }
            if (Format::is_table(e, level)) {
                change_table(pool_->pointer(Format::address(e)), level - 1, gpa, where, what);
                return;
            }
            Entry* child = pool_->allocate();
            for (unsigned part = 0; part < entries; ++part)
                Memory::store(child[part], split_part(e, level, part));
            change_table(child, level - 1, gpa, where, what);
            store(table[slot], Format::table(pool_->host_address(child)), level);
        });
    }

    /// Intel asks for a flush also when only the page size changes (SDM vol. 3A, 4.10.2.4
    /// and the "page size change" erratum of several models), so each change of a usable
    /// leaf asks for one, unless it merely adds rights.
    void store(Entry& slot, Entry value, unsigned level)
    {
        Entry const old = load(slot);
        if (Format::is_leaf(old) && Format::rights(old).any()) {
            bool const only_adds = Format::is_leaf(value) && !Format::is_table(value, level) &&
                                   Format::with_rights(old, Format::rights(value)) == value &&
                                   Format::rights(value).includes(Format::rights(old));
            flush_needed_ |= !only_adds;
        }
        Memory::store(slot, value);
    }

    template <typename Visitor>
    void walk_table(Entry const* table, unsigned level, std::uint64_t base, Visitor& visit) const
    {
        for (unsigned slot = 0; slot < entries; ++slot) {
            Entry const e = load(table[slot]);
            std::uint64_t const gpa = base + slot * span(level);
            if (Format::is_table(e, level))
                walk_table(pool_->pointer(Format::address(e)), level - 1, gpa, visit);
            else if (Format::is_leaf(e))
                visit(Gpa{gpa}, level, e,
                      Mapping{true, Format::address(e), Format::rights(e), Format::type(e), span(level)});
        }
    }

    Pool* pool_;
    Tlb* tlb_;
    TableCapabilities capabilities_;
    Entry* root_ = nullptr;
    bool flush_needed_ = false;
};

} // namespace undercroft::paging
