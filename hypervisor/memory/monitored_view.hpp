// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The monitored view over the nested tables of one vendor's format (region_entries.hpp says how rights are taken).
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/core/tlb_shootdown.hpp"
#include "hypervisor/memory/page_view.hpp"
#include "hypervisor/memory/region_entries.hpp"
#include "hypervisor/paging/nested_table.hpp"
#include "hypervisor/paging/page_pool.hpp"

namespace undercroft::memory {

/// What a nested fault means.
enum class FaultCause : std::uint8_t {
    not_watched, ///< no RAM of the view: a device's registers, nothing at all
    allowed,     ///< the page has these rights (by now): run the instruction again
    denied,      ///< the engine's
};

/// What the monitor needs of the view beyond its engines.
class MonitoredView : public PageView {
public:
    [[nodiscard]] virtual std::uint64_t root() const = 0;
    [[nodiscard]] virtual FaultCause judge(Gpa gpa, paging::Permissions needed) = 0;
    /// All rights again, huge pages where possible. No CPU is on the view, and all have flushed.
    virtual void reset() = 0;
    /// Since it was asked last, a change for devices or memory types has given rights back to watched RAM.
    [[nodiscard]] virtual bool take_disturbed() = 0;
    /// Whether the processors set accessed and dirty bits from now on.
    virtual void set_bits_live(bool live) = 0;

protected:
    ~MonitoredView() = default;
};

/// What is set aside for the view.
struct ViewMemory {
    std::span<PageRange const> usable;     ///< rising, page-aligned, joined
    std::span<Region> regions;             ///< one for each 2 MiB up to the end of usable RAM
    std::span<std::uint64_t*> directories; ///< level 2: one for each GiB up to there
};

/// How many of each are needed for RAM that ends at `end`.
constexpr std::size_t regions_for(std::uint64_t end)
{
    return (end + huge_page_bytes - 1) / huge_page_bytes;
}
constexpr std::size_t directories_for(std::uint64_t end)
{
    return (end + (1ULL << 30) - 1) >> 30;
}

template <typename Format>
class MonitoredViewOf final : public MonitoredView {
public:
    using Table = paging::NestedTable<Format, paging::PagePool, core::TlbShootdown>;
    using Entries = RegionEntries<Format>;
    using Shape = Region::Shape;

    MonitoredViewOf(paging::PagePool& pool, core::TlbShootdown& shootdown, paging::TableCapabilities offered)
        : pool_{&pool}, shootdown_{&shootdown},
          execute_only_{offered.execute_only && Format::can_express({.execute = true}, true)},
          table_{pool, shootdown, offered}
    {
    }

    /// The whole table, created and mapped as the running view; before build().
    [[nodiscard]] Table& table() { return table_; }
    /// Before any CPU runs on it. False: out of table pages.
    [[nodiscard]] bool build(ViewMemory const& memory)
    {
        memory_ = memory;
        for (PageRange const& range : memory.usable)
            for (std::uint64_t at = range.begin.value & ~(huge_page_bytes - 1); at < range.end(); at += huge_page_bytes)
                if (!adopt(at))
                    return false;
        return true;
    }

    /// Changes the table by change(Table&) where devices are concerned. Regions that it touches are settled before;
    /// RAM pages that lose rights by it are watched no more.
    template <typename ChangeTable>
    bool change_devices(PageRange range, ChangeTable&& change)
    {
        core::SpinGuard const guard{lock_};
        settle(range);
        bool const done = change(table_);
        for_each_region(range, [&](std::size_t index) {
            Region& region = memory_.regions[index];
            if (overlaps_usable(range))
                region.shape = Shape::absent;
            else if (region.shape != Shape::absent)
                region = readopted(region, index);
        });
        return done;
    }
    /// The same for memory types, which concern RAM as well and leave it watched.
    template <typename ChangeTable>
    bool change_types(std::uint64_t bytes, ChangeTable&& change)
    {
        core::SpinGuard const guard{lock_};
        PageRange const all{Gpa{0}, bytes};
        settle(all);
        bool const done = change(table_);
        for_each_region(all, [&](std::size_t index) {
            Region& region = memory_.regions[index];
            if (region.shape != Shape::absent)
                region = readopted(region, index);
        });
        return done;
    }

    // MonitoredView
    [[nodiscard]] std::uint64_t root() const override { return table_.root(); }
    [[nodiscard]] FaultCause judge(Gpa gpa, paging::Permissions needed) override
    {
        core::SpinGuard const guard{lock_};
        if (!watchable(gpa))
            return FaultCause::not_watched;
        Entries entries = at(index_of(gpa));
        open(index_of(gpa), entries);
        return entries.rights(page_of(gpa)).includes(needed) ? FaultCause::allowed : FaultCause::denied;
    }
    void reset() override
    {
        restore({Gpa{0}, memory_.regions.size() * huge_page_bytes});
        arm({Gpa{0}, memory_.regions.size() * huge_page_bytes}, paging::rights_all, PageSize::huge);
    }
    [[nodiscard]] bool take_disturbed() override { return disturbed_.exchange(false, std::memory_order_relaxed); }
    void set_bits_live(bool live) override { bits_live_ = live; }

    // PageView
    [[nodiscard]] std::span<PageRange const> usable() const override { return memory_.usable; }
    void arm(PageRange range, paging::Permissions keep, PageSize size) override
    {
        keep = expressible(keep);
        core::SpinGuard const guard{lock_};
        for_each_region(range, [&](std::size_t index) {
            Region const& region = memory_.regions[index];
            if (region.shape == Shape::absent)
                return;
            Entries entries = at(index);
            if (region.whole && covers(range, index))
                return entries.arm(keep, size);
            make_small(index, entries);
            for_each_page(range, index, [&](unsigned page) {
                Entries::set_rights(entries.page(page), both(entries.rights(page), keep));
            });
        });
    }
    void arm_pages(std::span<Gpa const> pages, paging::Permissions keep) override
    {
        keep = expressible(keep);
        core::SpinGuard const guard{lock_};
        for (Gpa const gpa : pages) {
            if (!watchable(gpa))
                continue;
            Entries entries = at(index_of(gpa));
            if (open(index_of(gpa), entries))
                entries.arm_page(page_of(gpa), keep);
        }
    }
    bool grant(Gpa page, paging::Permissions add) override
    {
        add.read = add.read || add.write || (add.execute && !execute_only_);
        core::SpinGuard const guard{lock_};
        if (!watchable(page))
            return false;
        Entries entries = at(index_of(page));
        if (open(index_of(page), entries))
            entries.grant(page_of(page), add);
        return true;
    }
    void restore(PageRange range) override
    {
        core::SpinGuard const guard{lock_};
        for_each_region(range, [&](std::size_t index) {
            Region const& region = memory_.regions[index];
            if (region.shape == Shape::absent)
                return;
            Entries entries = at(index);
            if (region.whole && covers(range, index))
                return entries.restore();
            make_small(index, entries);
            for_each_page(range, index,
                          [&](unsigned page) { Entries::set_rights(entries.page(page), paging::rights_all); });
        });
    }
    [[nodiscard]] PageState state(Gpa gpa) const override
    {
        core::SpinGuard const guard{lock_};
        if (!watchable(gpa))
            return {};
        Entries const entries = at(index_of(gpa));
        PageSize const size = entries.size();
        return {true, Gpa{gpa.value & ~(bytes_of(size) - 1)}, size, entries.rights(page_of(gpa))};
    }
    void flush_all() override
    {
        shootdown_->request_flush();
        flushes_.fetch_add(1, std::memory_order_relaxed);
    }
    [[nodiscard]] bool has_access_bits() const override { return bits_live_; }
    [[nodiscard]] bool has_execute_only() const override { return execute_only_; }
    void take_access_bits(PageRange range, AccessVisitor& visitor) override
    {
        for_each_region(range, [&](std::size_t index) { take_region_bits(range, index, visitor); });
    }
    [[nodiscard]] AccessBits access_bits(Gpa page) const override
    {
        core::SpinGuard const guard{lock_};
        if (!watchable(page))
            return {};
        return Entries::bits(Entries::load(at(index_of(page)).page(page_of(page))));
    }

private:
    static std::size_t index_of(Gpa gpa) { return gpa.value / huge_page_bytes; }
    static unsigned page_of(Gpa gpa) { return static_cast<unsigned>(gpa.value / page_bytes % Entries::pages); }
    static Gpa begin_of(std::size_t index) { return Gpa{index * huge_page_bytes}; }
    static bool covers(PageRange range, std::size_t index)
    {
        return range.begin <= begin_of(index) && range.end() >= begin_of(index + 1).value;
    }

    [[nodiscard]] Entries at(std::size_t index) const
    {
        return Entries{memory_.regions[index], memory_.directories[index >> 9][index & 511]};
    }
    template <typename Visit>
    void for_each_region(PageRange range, Visit&& visit) const
    {
        std::size_t const end = std::min(regions_for(range.end()), memory_.regions.size());
        for (std::size_t index = index_of(range.begin); index < end; ++index)
            visit(index);
    }
    /// Pages of a region that lie in the range and are usable RAM.
    template <typename Visit>
    void for_each_page(PageRange range, std::size_t index, Visit&& visit) const
    {
        for (unsigned page = 0; page < Entries::pages; ++page) {
            Gpa const gpa = begin_of(index) + page * page_bytes;
            if (range.begin <= gpa && gpa.value < range.end() && (memory_.regions[index].whole || is_usable(gpa)))
                visit(page);
        }
    }
    [[nodiscard]] bool is_usable(Gpa gpa) const
    {
        auto const after = std::upper_bound(memory_.usable.begin(), memory_.usable.end(), gpa,
                                            [](Gpa a, PageRange const& range) { return a < range.begin; });
        return after != memory_.usable.begin() && gpa.value < (after - 1)->end();
    }
    [[nodiscard]] bool overlaps_usable(PageRange range) const
    {
        return std::any_of(memory_.usable.begin(), memory_.usable.end(), [&](PageRange const& usable) {
            return usable.begin.value < range.end() && range.begin.value < usable.end();
        });
    }
    [[nodiscard]] bool watchable(Gpa gpa) const
    {
        if (index_of(gpa) >= memory_.regions.size())
            return false;
        Region const& region = memory_.regions[index_of(gpa)];
        return region.shape != Shape::absent && (region.whole || is_usable(gpa));
    }
    /// What this format cannot express keeps less.
    [[nodiscard]] paging::Permissions expressible(paging::Permissions rights) const
    {
        return Format::can_express(rights, execute_only_) ? rights : paging::rights_none;
    }

    bool open(std::size_t index, Entries& entries)
    {
        Region const& region = memory_.regions[index];
        if (region.shape == Shape::huge || region.shape == Shape::table)
            return true;
        return entries.open(spare_for(region));
    }
    void make_small(std::size_t index, Entries& entries)
    {
        if (!entries.make_small(spare_for(memory_.regions[index])))
            memory_.regions[index].shape = Shape::absent;
    }
    [[nodiscard]] std::uint64_t* spare_for(Region const& region)
    {
        bool const small = region.shape == Shape::huge || region.opens_as == PageSize::small;
        return region.table == nullptr && small ? pool_->allocate() : nullptr;
    }

    /// At the start: finds the entries of one region, small at once when not all of it is RAM.
    bool adopt(std::uint64_t begin)
    {
        std::size_t const index = begin / huge_page_bytes;
        Region& region = memory_.regions[index];
        if (region.shape != Shape::absent)
            return true;
        PageRange const all{Gpa{begin}, huge_page_bytes};
        region.whole = std::any_of(memory_.usable.begin(), memory_.usable.end(), [&](PageRange const& usable) {
            return usable.begin <= all.begin && all.end() <= usable.end();
        });
        std::uint64_t* const directory = table_.entry_at(Gpa{begin & ~((1ULL << 30) - 1)}, 2);
        if (directory == nullptr || (!region.whole && table_.entry_at(Gpa{begin}, 1) == nullptr))
            return false;
        memory_.directories[index >> 9] = directory;
        region = readopted(region, index);
        return true;
    }
    /// A region whose entries were changed by the table's own operations, all rights given before.
    [[nodiscard]] Region readopted(Region region, std::size_t index) const
    {
        std::uint64_t const entry = Entries::load(memory_.directories[index >> 9][index & 511]);
        region.deferred = paging::rights_none;
        region.opens_as = PageSize::huge;
        if (Format::is_leaf(entry)) {
            region.shape = Shape::huge;
            region.may_be_huge = true;
            return region;
        }
        region.table = reinterpret_cast<std::uint64_t*>(Format::address(entry));
        region.shape = Shape::table;
        region.opens_as = PageSize::small;
        auto const type = Format::type(Entries::load(region.table[0]));
        region.may_be_huge = region.whole && std::all_of(region.table, region.table + Entries::pages, [&](auto& page) {
                                 return Format::type(Entries::load(page)) == type;
                             });
        return region;
    }
    /// Every region of the range has all rights and translates: the table's own operations see it as any other.
    void settle(PageRange range)
    {
        for_each_region(range, [&](std::size_t index) {
            Region const& region = memory_.regions[index];
            if (region.shape == Shape::absent)
                return;
            disturbed_.store(true, std::memory_order_relaxed);
            Entries entries = at(index);
            if (region.whole) {
                entries.restore();
                (void)open(index, entries);
                return;
            }
            for_each_page({begin_of(index), huge_page_bytes}, index,
                          [&](unsigned page) { Entries::set_rights(entries.page(page), paging::rights_all); });
        });
    }

    void take_region_bits(PageRange range, std::size_t index, AccessVisitor& visitor)
    {
        struct Seen {
            unsigned page;
            AccessBits bits;
        };
        std::array<Seen, Entries::pages> seen;
        std::size_t count = 0;
        bool huge = false;
        {
            core::SpinGuard const guard{lock_};
            if (memory_.regions[index].shape == Shape::absent)
                return;
            Entries entries = at(index);
            huge = entries.holds_leaf();
            // Between two flushes a processor may keep the directory entry that it has marked, and not mark it again.
            Region& region = memory_.regions[index];
            std::uint8_t const flushes = flushes_.load(std::memory_order_relaxed);
            bool const trust_directory = std::exchange(region.bits_taken_in, flushes) != flushes;
            if (!huge && trust_directory && !entries.walked())
                return;
            auto const take = [&](unsigned page) {
                if (AccessBits const bits = Entries::take_bits(entries.page(page)); bits.accessed || bits.dirty)
                    seen[count++] = {page, bits};
            };
            if (huge) {
                take(0);
            } else {
                if (covers(range, index))
                    entries.take_walked();
                for_each_page(range, index, take);
            }
        }
        for (std::size_t i = 0; i < count; ++i)
            visitor.visit(begin_of(index) + seen[i].page * page_bytes, huge ? PageSize::huge : PageSize::small,
                          seen[i].bits);
    }

    paging::PagePool* pool_;
    core::TlbShootdown* shootdown_;
    bool execute_only_;
    bool bits_live_ = false;
    std::atomic<bool> disturbed_{false};
    std::atomic<std::uint8_t> flushes_{0};
    mutable core::Spinlock lock_;
    ViewMemory memory_{};
    Table table_;
};

} // namespace undercroft::memory
