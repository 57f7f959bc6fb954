// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// 2 MiB of RAM in the monitored view: one directory entry and, once needed, a table of 512 pages below it.
//
// The processor uses the rights that directory entry and page entry both give. Rights are therefore taken from the
// directory entry alone (one store, whatever the table says) and brought down into the table when a page is granted.
// Before the shape changes (one huge page, 512 small ones) the directory entry is closed: it translates nothing until
// the next fault there opens it in the new shape. Closing takes rights, so whoever closes flushes; opening needs no
// flush, for processors cache no missing translation. Hence a processor never sees two shapes of a page at once.
#include <cstdint>
#include <utility>

#include "base/units.hpp"
#include "hypervisor/memory/page_view.hpp"
#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::memory {

constexpr paging::Permissions both(paging::Permissions a, paging::Permissions b)
{
    return {a.read && b.read, a.write && b.write, a.execute && b.execute};
}
constexpr paging::Permissions either(paging::Permissions a, paging::Permissions b)
{
    return {a.read || b.read, a.write || b.write, a.execute || b.execute};
}

struct Region {
    enum class Shape : std::uint8_t {
        absent,     ///< no watchable RAM: not ours to touch
        huge,       ///< the directory entry is the page
        table,      ///< linked, `table` decides together with the directory entry
        closed,     ///< nothing is translated; all pages have the rights `deferred`
        closed_set, ///< nothing is translated; the table says which rights each page has
    };
    std::uint64_t* table = nullptr; ///< of the small pages, once there is one
    Shape shape = Shape::absent;
    bool whole = false; ///< all of it is RAM; otherwise it keeps its table, linked and without restriction
    bool may_be_huge = false;
    PageSize opens_as = PageSize::huge; ///< closed
    paging::Permissions deferred{};     ///< closed
    std::uint8_t bits_taken_in = 0;     ///< number of the flush (modulo 256) behind which bits were taken last
};
static_assert(sizeof(Region) == 16);

/// Operations on one region's entries. `directory` is its entry of level 2. Callers hold the view's lock; processors
/// walk the entries and set accessed and dirty bits at any time.
template <typename Format>
class RegionEntries {
public:
    using Entry = std::uint64_t;
    using Shape = Region::Shape;
    static constexpr unsigned pages = 512;
    static constexpr Entry both_bits = Format::accessed | Format::dirty; ///< what the processor sets

    RegionEntries(Region& region, Entry& directory) : region_{&region}, directory_{&directory} {}

    static Entry load(Entry const& e) { return __atomic_load_n(&e, __ATOMIC_ACQUIRE); }
    /// change(old) -> new; bits that the processor sets meanwhile are kept.
    template <typename ChangeEntry>
    static void update(Entry& e, ChangeEntry&& change)
    {
        Entry old = load(e);
        while (!__atomic_compare_exchange_n(&e, &old, change(old), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        }
    }
    static void set_rights(Entry& e, paging::Permissions rights)
    {
        update(e, [&](Entry old) { return Format::with_rights(old, rights); });
    }
    static AccessBits bits(Entry e) { return {(e & Format::accessed) != 0, (e & Format::dirty) != 0}; }
    static AccessBits take_bits(Entry& e)
    {
        if ((load(e) & both_bits) == 0)
            return {};
        return bits(__atomic_fetch_and(&e, ~both_bits, __ATOMIC_ACQ_REL));
    }

    /// The directory entry holds (or held, when it is closed) a huge page.
    [[nodiscard]] bool holds_leaf() const
    {
        return region_->shape != Shape::closed_set && Format::is_leaf(load(*directory_));
    }
    /// The entry whose accessed and dirty bits count for a page.
    [[nodiscard]] Entry& page(unsigned index) const { return holds_leaf() ? *directory_ : region_->table[index]; }
    [[nodiscard]] paging::Permissions rights(unsigned index) const
    {
        switch (region_->shape) {
        case Shape::huge:
            return Format::rights(load(*directory_));
        case Shape::table:
            return both(table_rights(load(*directory_)), Format::rights(load(region_->table[index])));
        case Shape::closed:
            return region_->deferred;
        case Shape::closed_set:
            return Format::rights(load(region_->table[index]));
        case Shape::absent:
            break;
        }
        return paging::rights_none;
    }
    [[nodiscard]] PageSize size() const
    {
        bool const huge =
            region_->shape == Shape::huge || (region_->shape == Shape::closed && region_->opens_as == PageSize::huge);
        return huge ? PageSize::huge : PageSize::small;
    }

    /// Of a whole region: all pages keep at most `keep`, and become of `size`.
    void arm(paging::Permissions keep, PageSize size)
    {
        if (!region_->may_be_huge)
            size = PageSize::small;
        switch (region_->shape) {
        case Shape::closed:
            region_->deferred = both(region_->deferred, keep);
            region_->opens_as = size;
            return;
        case Shape::huge:
            if (size == PageSize::huge)
                return set_rights(*directory_, both(Format::rights(load(*directory_)), keep));
            return close(both(Format::rights(load(*directory_)), keep), size);
        case Shape::table:
            if (size == PageSize::huge || !keep.any())
                return close(keep.any() ? both(common_rights(), keep) : keep, size);
            return update(*directory_,
                          [&](Entry old) { return with_table_rights(old, both(table_rights(old), keep)); });
        case Shape::closed_set:
            if (size == PageSize::huge || !keep.any())
                return close(keep.any() ? both(common_rights(), keep) : keep, size);
            return restrict_table(keep);
        case Shape::absent:
            return;
        }
    }
    /// A page of an open region (or the huge page) keeps at most `keep`.
    void arm_page(unsigned index, paging::Permissions keep)
    {
        update(page(index), [&](Entry old) { return Format::with_rights(old, both(Format::rights(old), keep)); });
    }
    /// Makes single pages of the region differ: whoever calls flushes afterwards. False: no table page.
    [[nodiscard]] bool make_small(Entry* spare)
    {
        if (region_->shape == Shape::huge)
            close(Format::rights(load(*directory_)), PageSize::small);
        if (region_->shape != Shape::closed)
            return true;
        if (!fill_table(spare))
            return false;
        region_->shape = Shape::closed_set;
        return true;
    }

    /// A closed region translates again. False: no table page.
    bool open(Entry* spare = nullptr)
    {
        if (region_->shape == Shape::closed && region_->opens_as == PageSize::huge) {
            Entry const leaf = holds_leaf() ? load(*directory_) : merged_leaf();
            __atomic_store_n(directory_, Format::with_rights(leaf, region_->deferred), __ATOMIC_RELEASE);
            region_->shape = Shape::huge;
            return true;
        }
        if (region_->shape == Shape::closed && !fill_table(spare))
            return false;
        if (region_->shape == Shape::closed || region_->shape == Shape::closed_set) {
            link();
            region_->shape = Shape::table;
        }
        return true;
    }
    /// Adds rights to an open region's page. Its dirty bit is cleared when it could not be written.
    void grant(unsigned index, paging::Permissions add)
    {
        if (region_->shape == Shape::table && !table_rights(load(*directory_)).includes(add)) {
            restrict_table(table_rights(load(*directory_)));
            update(*directory_, [](Entry old) { return with_table_rights(old, paging::rights_all); });
        }
        update(page(index), [&](Entry old) {
            paging::Permissions const had = Format::rights(old);
            return Format::with_rights(add.write && !had.write ? old & ~Format::dirty : old, either(had, add));
        });
    }
    /// Of a whole region.
    void restore()
    {
        if (region_->shape == Shape::huge)
            return set_rights(*directory_, paging::rights_all);
        close(paging::rights_all, size());
    }

    /// Whether anything was walked below since take_walked(); only while no processor caches directory entries.
    [[nodiscard]] bool walked() const { return (load(*directory_) & Format::accessed) != 0; }
    void take_walked() { (void)__atomic_fetch_and(directory_, ~Format::accessed, __ATOMIC_ACQ_REL); }

private:
    // A directory entry that leads to a table has no `mapped` bit; rights of tables are written alike in both formats.
    static paging::Permissions table_rights(Entry e) { return Format::rights(e); }
    static Entry with_table_rights(Entry e, paging::Permissions rights) { return Format::with_rights(e, rights); }

    void close(paging::Permissions deferred, PageSize size)
    {
        if (region_->shape == Shape::table || region_->shape == Shape::huge)
            set_rights(*directory_, paging::rights_none);
        region_->shape = Shape::closed;
        region_->deferred = deferred;
        region_->opens_as = size;
    }
    void restrict_table(paging::Permissions keep)
    {
        for (unsigned i = 0; i < pages; ++i) {
            paging::Permissions const had = Format::rights(load(region_->table[i]));
            if (!keep.includes(had))
                set_rights(region_->table[i], both(had, keep));
        }
    }
    [[nodiscard]] paging::Permissions common_rights() const
    {
        paging::Permissions common = paging::rights_all;
        for (unsigned i = 0; i < pages; ++i)
            common = both(common, rights(i));
        return common;
    }
    /// Closed: every page gets the deferred rights, and the accessed and dirty bits of a huge page before.
    bool fill_table(Entry* spare)
    {
        Entry const leaf = load(*directory_);
        bool const split = region_->table == nullptr;
        if (split) {
            if (spare == nullptr)
                return false;
            region_->table = spare;
        }
        Entry const seen = holds_leaf() ? leaf & both_bits : 0;
        for (unsigned i = 0; i < pages; ++i) {
            Entry const old = split ? Format::split(leaf, 2, i) : load(region_->table[i]) | seen;
            __atomic_store_n(&region_->table[i], Format::with_rights(old, region_->deferred), __ATOMIC_RELAXED);
        }
        return true;
    }
    void link() { __atomic_store_n(directory_, Format::table(host_of(region_->table)), __ATOMIC_RELEASE); }
    /// The sensor's memory is mapped to itself.
    static std::uint64_t host_of(Entry const* table) { return reinterpret_cast<std::uint64_t>(table); }
    /// One leaf for the whole table: accessed and dirty when any page is. The table's own bits are its no longer: when
    /// it is used again they would tell of now what was then.
    [[nodiscard]] Entry merged_leaf()
    {
        Entry const first = load(region_->table[0]);
        Entry any = 0;
        for (unsigned i = 0; i < pages; ++i)
            any |= __atomic_fetch_and(&region_->table[i], ~both_bits, __ATOMIC_ACQ_REL);
        Entry const leaf = Format::leaf(Format::address(first), paging::rights_all, Format::type(first), 2);
        return (leaf & ~both_bits) | (any & both_bits);
    }

    Region* region_;
    Entry* directory_;
};

} // namespace undercroft::memory
