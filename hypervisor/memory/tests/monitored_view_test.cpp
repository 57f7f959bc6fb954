// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/monitored_view.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "hypervisor/memory/tests/view_rig.hpp"
#include "hypervisor/paging/ept_format.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace undercroft::memory {
namespace {

using namespace testing;
using paging::Permissions;
using paging::rights_all, paging::rights_none, paging::rights_read, paging::rights_read_execute;
using paging::rights_read_write;

template <typename Format>
class View : public ::testing::Test {
public:
    View() { EXPECT_TRUE(rig.built); }
    [[nodiscard]] Permissions walk(std::uint64_t gpa) const
    {
        return Walker<Format>::walk(rig.root(), gpa, rights_none, false).rights;
    }
    [[nodiscard]] std::uint64_t size_of(std::uint64_t gpa) const
    {
        return Walker<Format>::walk(rig.root(), gpa, rights_none, false).bytes;
    }
    NoShootdown shootdown;
    ViewRig<Format> rig{shootdown};
    MonitoredView& view = rig.view;
};
using Formats = ::testing::Types<paging::NptFormat, paging::EptFormat>;
TYPED_TEST_SUITE(View, Formats);

TYPED_TEST(View, StartsAsTheRunningView)
{
    for (std::uint64_t gpa = 0; gpa < 2 * gib; gpa += 64 * 1024) {
        Translation const mine = Walker<TypeParam>::walk(this->rig.root(), gpa, rights_none, false);
        ASSERT_TRUE(mine.present) << std::hex << gpa;
        EXPECT_EQ(mine.host, gpa);
        EXPECT_EQ(mine.rights, rights_all);
    }
    EXPECT_EQ(this->size_of(2 * mib), 2 * mib);
    EXPECT_EQ(this->size_of(0), 4096U) << "not all of it is RAM";
    EXPECT_FALSE(this->view.state(Gpa{0xA0000}).watchable);
    EXPECT_TRUE(this->view.state(Gpa{0x9F000}).watchable);
    EXPECT_FALSE(this->view.state(Gpa{gib + 6 * mib + 65536}).watchable);
    EXPECT_FALSE(this->view.state(Gpa{1ULL << 50}).watchable);
}

TYPED_TEST(View, WholeMemoryIsArmedWithAFewStores)
{
    std::size_t const pages = this->rig.pool.available();
    this->view.arm({Gpa{0}, 2 * gib}, rights_none, PageSize::small);
    EXPECT_EQ(this->rig.pool.available(), pages) << "tables come when they are touched";
    EXPECT_EQ(this->walk(4 * mib), rights_none);
    EXPECT_EQ(this->walk(0x9F000), rights_none);
    EXPECT_EQ(this->walk(0xA0000), rights_all) << "no RAM";
    EXPECT_EQ(this->walk(gib + 6 * mib + 65536), rights_all);
    EXPECT_EQ(this->view.judge(Gpa{4 * mib + 0x3000}, rights_read), FaultCause::denied);
    EXPECT_EQ(this->view.judge(Gpa{512 * mib}, rights_read), FaultCause::not_watched);
    EXPECT_EQ(this->rig.pool.available(), pages - 1);
    EXPECT_TRUE(this->view.grant(Gpa{4 * mib + 0x3000}, rights_read));
    EXPECT_EQ(this->walk(4 * mib + 0x3000), rights_read);
    EXPECT_EQ(this->walk(4 * mib + 0x4000), rights_none);
    EXPECT_EQ(this->size_of(4 * mib + 0x3000), 4096U);
    EXPECT_EQ(this->view.judge(Gpa{4 * mib + 0x3000}, rights_read), FaultCause::allowed);
    EXPECT_EQ(this->view.judge(Gpa{4 * mib + 0x3000}, rights_read_write), FaultCause::denied);
    // The second arming needs no new table, and takes what was granted.
    this->view.arm({Gpa{0}, 2 * gib}, rights_none, PageSize::small);
    EXPECT_EQ(this->view.judge(Gpa{4 * mib + 0x3000}, rights_read), FaultCause::denied);
    EXPECT_EQ(this->rig.pool.available(), pages - 1);
}

TYPED_TEST(View, WriteProtectionOfATableIsOneStoreAndComesDownWithTheGrant)
{
    this->view.arm({Gpa{4 * mib}, 2 * mib}, rights_read_execute, PageSize::small);
    EXPECT_EQ(this->view.judge(Gpa{4 * mib}, rights_read), FaultCause::allowed);
    EXPECT_EQ(this->walk(4 * mib), rights_read_execute);
    this->view.grant(Gpa{4 * mib}, rights_read_write);
    EXPECT_EQ(this->walk(4 * mib), rights_all);
    EXPECT_EQ(this->walk(4 * mib + 4096), rights_read_execute);
    this->view.arm({Gpa{4 * mib}, 2 * mib}, rights_read_execute, PageSize::small);
    EXPECT_EQ(this->walk(4 * mib), rights_read_execute);
    this->view.grant(Gpa{4 * mib + 8192}, rights_read_write);
    EXPECT_EQ(this->walk(4 * mib), rights_read_execute) << "a neighbour's grant does not give it back";
    EXPECT_EQ(this->walk(4 * mib + 8192), rights_all);
}

TYPED_TEST(View, HugePagesAreArmedAndGrantedAsOne)
{
    this->view.arm({Gpa{2 * mib}, 8 * mib}, rights_none, PageSize::huge);
    EXPECT_EQ(this->view.state(Gpa{4 * mib + 5}), (PageState{true, Gpa{4 * mib}, PageSize::huge, rights_none}));
    this->view.grant(Gpa{4 * mib + 0x5000}, rights_read);
    EXPECT_EQ(this->walk(4 * mib), rights_read);
    EXPECT_EQ(this->size_of(4 * mib), 2 * mib);
    EXPECT_EQ(this->walk(6 * mib), rights_none);
    // Small, then huge again.
    this->view.arm({Gpa{2 * mib}, 8 * mib}, rights_none, PageSize::small);
    this->view.grant(Gpa{4 * mib}, rights_read);
    EXPECT_EQ(this->size_of(4 * mib), 4096U);
    this->view.arm({Gpa{2 * mib}, 8 * mib}, rights_none, PageSize::huge);
    EXPECT_EQ(this->walk(4 * mib), rights_none);
    this->view.grant(Gpa{4 * mib}, rights_read);
    EXPECT_EQ(this->size_of(4 * mib), 2 * mib);
    this->view.reset();
    EXPECT_EQ(this->view.judge(Gpa{4 * mib}, rights_all), FaultCause::allowed);
    EXPECT_EQ(this->walk(4 * mib), rights_all);
}

TYPED_TEST(View, DevicesAreTrappedInItToo)
{
    std::uint64_t const bar = 256 * mib;
    ASSERT_TRUE(this->rig.map.set_rights(Gpa{bar}, 4096, rights_read, rights_all));
    EXPECT_EQ(this->walk(bar), rights_read);
    ASSERT_TRUE(this->rig.map.unmap(Gpa{300 * mib}, 2 * mib));
    EXPECT_EQ(this->walk(300 * mib), rights_none);
    // Over RAM (a guest may move a BAR anywhere): the trap holds, and that region is watched no more.
    this->view.arm({Gpa{0}, 2 * gib}, rights_none, PageSize::small);
    ASSERT_TRUE(this->rig.map.set_rights(Gpa{8 * mib}, 4096, rights_read, rights_all));
    EXPECT_EQ(this->walk(8 * mib), rights_read);
    EXPECT_EQ(this->walk(8 * mib + 4096), rights_all);
    EXPECT_FALSE(this->view.state(Gpa{8 * mib + 4096}).watchable);
    this->view.arm({Gpa{0}, 2 * gib}, rights_none, PageSize::small);
    EXPECT_FALSE(this->view.grant(Gpa{8 * mib}, rights_all));
    EXPECT_EQ(this->walk(8 * mib), rights_read) << "a grant must not open a device's trap";
    EXPECT_EQ(this->walk(10 * mib), rights_none) << "others stay armed";
    // Beside RAM in the same 2 MiB: that RAM stays watched.
    ASSERT_TRUE(this->rig.map.set_rights(Gpa{0xB0000}, 4096, rights_none, rights_none));
    EXPECT_EQ(this->walk(0xB0000), rights_none);
    EXPECT_TRUE(this->view.state(Gpa{0x1000}).watchable);
    this->view.restore({Gpa{0}, 2 * gib});
    this->view.reset();
    EXPECT_EQ(this->walk(0xB0000), rights_none);
    EXPECT_EQ(this->view.judge(Gpa{0xB0000}, rights_read), FaultCause::not_watched);
}

struct Collect final : AccessVisitor {
    void visit(Gpa first, std::uint32_t count, PageSize size, AccessBits bits) override
    {
        if (!found.empty() && found.back().page + bytes_of(size) == first.value && found.back().bits == bits)
            EXPECT_EQ(first.value % huge_page_bytes, 0U) << "runs are as long as they can be";
        for (std::uint32_t i = 0; i < count; ++i)
            found.push_back({first.value + i * bytes_of(size), size == PageSize::huge, bits});
    }
    struct Found {
        std::uint64_t page;
        bool huge;
        AccessBits bits;
        bool operator==(Found const&) const = default;
    };
    std::vector<Found> found;
};

TYPED_TEST(View, AccessedAndDirtyBitsAreThoseThatTheProcessorSet)
{
    PageRange const all{Gpa{0}, 2 * gib};
    this->view.arm({Gpa{4 * mib}, 2 * mib}, rights_all, PageSize::small);
    (void)this->view.judge(Gpa{4 * mib}, rights_read);
    Collect first;
    this->view.take_access_bits(all, first); // whatever the start left there
    this->view.flush_all();
    std::uint64_t const root = this->rig.root();
    Walker<TypeParam>::walk(root, 4 * mib + 0x7000, rights_read);
    Walker<TypeParam>::walk(root, 4 * mib + 0x9000, rights_read_write);
    Walker<TypeParam>::walk(root, 10 * mib + 0x9000, rights_read_write);
    Walker<TypeParam>::walk(root, gib + 6 * mib, rights_read);
    Collect seen;
    this->view.take_access_bits(all, seen);
    this->view.flush_all();
    EXPECT_EQ(seen.found, (std::vector<Collect::Found>{{4 * mib + 0x7000, false, {true, false}},
                                                       {4 * mib + 0x9000, false, {true, true}},
                                                       {10 * mib, true, {true, true}},
                                                       {gib + 6 * mib, false, {true, false}}}));
    Collect none;
    this->view.take_access_bits(all, none);
    EXPECT_TRUE(none.found.empty());
}

TYPED_TEST(View, WithoutAFlushNoPageIsPassedOverBecauseItsDirectoryEntryWasCached)
{
    PageRange const range{Gpa{4 * mib}, 2 * mib};
    this->view.arm(range, rights_all, PageSize::small);
    (void)this->view.judge(Gpa{4 * mib}, rights_read);
    Collect ignored;
    this->view.take_access_bits(range, ignored);
    // A processor that still caches the directory entry marks the page's entry only.
    std::uint64_t* const entry = &this->rig.regions[2].table[3];
    *entry |= Walker<TypeParam>::accessed;
    Collect seen;
    this->view.take_access_bits(range, seen);
    EXPECT_EQ(seen.found.size(), 1U);
}

TYPED_TEST(View, DirtyTellsWhetherAGrantedPageWasWritten)
{
    Gpa const page{4 * mib + 0x2000};
    this->view.arm({Gpa{4 * mib}, 2 * mib}, rights_read_execute, PageSize::small);
    (void)this->view.judge(page, rights_read);
    this->view.grant(page, rights_read_write);
    EXPECT_FALSE(this->view.access_bits(page).dirty);
    Walker<TypeParam>::walk(this->rig.root(), page.value, rights_read_write);
    EXPECT_TRUE(this->view.access_bits(page).dirty);
    std::array const pages{page};
    this->view.arm_pages(pages, rights_read_execute);
    EXPECT_TRUE(this->view.access_bits(page).dirty) << "no processor may write it now: the answer is final";
    EXPECT_EQ(this->walk(page.value), rights_read_execute);
    this->view.grant(page, rights_read_write);
    EXPECT_FALSE(this->view.access_bits(page).dirty);
}

TYPED_TEST(View, AChangeOfShapeKeepsDirtyPagesDirty)
{
    Collect ignored;
    this->view.take_access_bits({Gpa{0}, 2 * gib}, ignored);
    Walker<TypeParam>::walk(this->rig.root(), 4 * mib + 0x2000, rights_read_write);
    this->view.arm({Gpa{4 * mib}, 2 * mib}, rights_all, PageSize::small);
    (void)this->view.judge(Gpa{4 * mib}, rights_read);
    EXPECT_TRUE(this->view.access_bits(Gpa{4 * mib + 0x2000}).dirty);
    EXPECT_TRUE(this->view.access_bits(Gpa{4 * mib + 0x3000}).dirty) << "which one is not known";
    this->view.take_access_bits({Gpa{0}, 2 * gib}, ignored);
    Walker<TypeParam>::walk(this->rig.root(), 4 * mib + 0x4000, rights_read_write);
    this->view.arm({Gpa{4 * mib}, 2 * mib}, rights_all, PageSize::huge);
    (void)this->view.judge(Gpa{4 * mib}, rights_read);
    EXPECT_TRUE(this->view.access_bits(Gpa{4 * mib}).dirty);
}

TYPED_TEST(View, WhatATableSawBeforeItsPagesBecameOneIsNotToldAgainWhenItReturns)
{
    PageRange const range{Gpa{4 * mib}, 2 * mib};
    auto const shape = [&](PageSize size) {
        this->view.arm(range, rights_all, size);
        this->view.flush_all();
        (void)this->view.judge(range.begin, rights_read);
    };
    shape(PageSize::small);
    Walker<TypeParam>::walk(this->rig.root(), 4 * mib + 0x2000, rights_read_write);
    shape(PageSize::huge);
    Collect merged;
    this->view.take_access_bits(range, merged);
    EXPECT_EQ(merged.found, (std::vector<Collect::Found>{{4 * mib, true, {true, true}}}));
    shape(PageSize::small);
    Walker<TypeParam>::walk(this->rig.root(), 4 * mib + 0x5000, rights_read);
    Collect again;
    this->view.take_access_bits(range, again);
    EXPECT_EQ(again.found, (std::vector<Collect::Found>{{4 * mib + 0x5000, false, {true, false}}}));
}

/// Random operations against a model that keeps one set of rights for each page.
template <typename Format>
class Model {
public:
    explicit Model(ViewRig<Format>& rig) : rig_{&rig}
    {
        for (PageRange const& range : rig.ram)
            for (std::uint64_t at = range.begin.value; at < range.end(); at += 4096)
                rights_[at] = rights_all;
        for (std::uint64_t at = 2 * mib; at < 24 * mib; at += 2 * mib)
            huge_.insert(at);
        for (std::uint64_t at = gib; at < gib + 6 * mib; at += 2 * mib)
            huge_.insert(at);
        whole_ = huge_;
    }
    void arm(PageRange range, Permissions keep, PageSize size)
    {
        for (std::uint64_t region = range.begin.value & ~(2 * mib - 1); region < range.end(); region += 2 * mib) {
            bool const inside = range.begin.value <= region && region + 2 * mib <= range.end();
            if (inside && whole_.contains(region) && size == PageSize::huge)
                become_huge(region, keep);
            else
                huge_.erase(region);
        }
        for (auto& [at, rights] : rights_)
            if (range.begin.value <= at && at < range.end())
                rights = both(rights, keep);
    }
    void grant(std::uint64_t page, Permissions add)
    {
        add.read = add.read || add.write || (add.execute && !rig_->view.has_execute_only());
        for_page(page, [&](Permissions& rights) { rights = either(rights, add); });
    }
    void arm_page(std::uint64_t page, Permissions keep)
    {
        for_page(page, [&](Permissions& rights) { rights = both(rights, keep); });
    }
    [[nodiscard]] Permissions rights(std::uint64_t page) const { return rights_.at(page); }
    [[nodiscard]] bool has(std::uint64_t page) const { return rights_.contains(page); }

private:
    void become_huge(std::uint64_t region, Permissions keep)
    {
        Permissions common = keep;
        if (!huge_.contains(region))
            for (std::uint64_t at = region; at < region + 2 * mib; at += 4096)
                common = both(common, rights_.at(at));
        for (std::uint64_t at = region; at < region + 2 * mib; at += 4096)
            rights_.at(at) = both(rights_.at(at), common);
        huge_.insert(region);
    }
    template <typename Change>
    void for_page(std::uint64_t page, Change&& change)
    {
        std::uint64_t const region = page & ~(2 * mib - 1);
        if (!huge_.contains(region))
            return change(rights_.at(page));
        for (std::uint64_t at = region; at < region + 2 * mib; at += 4096)
            change(rights_.at(at));
    }
    ViewRig<Format>* rig_;
    std::map<std::uint64_t, Permissions> rights_;
    std::set<std::uint64_t> huge_, whole_;
};

TYPED_TEST(View, RightsAreThoseOfASimpleModel)
{
    std::mt19937_64 random{20261122};
    Model<TypeParam> model{this->rig};
    bool const npt = std::is_same_v<TypeParam, paging::NptFormat>;
    auto const some_page = [&] {
        std::uint64_t const at = random() % 31 * mib + random() % 256 * 4096;
        return at < 24 * mib ? at : gib + at - 24 * mib;
    };
    auto const some_rights = [&] {
        constexpr std::array choices{rights_none,       rights_read, rights_read_execute,
                                     rights_read_write, rights_all,  Permissions{false, false, true}};
        return choices[random() % (npt ? 5 : 6)];
    };
    for (int step = 0; step < 20'000; ++step) {
        std::uint64_t const page = some_page();
        Permissions const rights = some_rights();
        switch (random() % 8) {
        case 0: {
            PageRange const range{Gpa{random() % 3 == 0 ? page : page & ~(2 * mib - 1)}, random() % 6 * mib + 4096};
            PageSize const size = random() % 2 == 0 ? PageSize::small : PageSize::huge;
            this->view.arm(range, rights, size);
            model.arm(range, rights, size);
            break;
        }
        case 1:
            if (model.has(page)) {
                std::array const pages{Gpa{page}};
                this->view.arm_pages(pages, rights);
                model.arm_page(page, rights);
            }
            break;
        case 2:
        case 3:
            EXPECT_EQ(this->view.grant(Gpa{page}, rights), model.has(page));
            if (model.has(page))
                model.grant(page, rights);
            break;
        default:
            break;
        }
        std::uint64_t const looked_at = some_page();
        if (!model.has(looked_at)) {
            ASSERT_EQ(this->walk(looked_at), rights_all) << step;
            continue;
        }
        ASSERT_TRUE(model.rights(looked_at).includes(this->walk(looked_at))) << step << std::hex << " " << looked_at;
        ASSERT_EQ(this->view.state(Gpa{looked_at}).rights, model.rights(looked_at)) << step;
        (void)this->view.judge(Gpa{looked_at}, rights_read);
        ASSERT_EQ(this->walk(looked_at), model.rights(looked_at)) << step << std::hex << " " << looked_at;
    }
}

TEST(ExtendedView, MemoryTypesFollowAndHugePagesNeedOneType)
{
    NoShootdown shootdown;
    paging::MtrrRegisters mtrrs{};
    mtrrs.capability = 1U << 8 | 8;
    mtrrs.default_type = 6 | 1U << 11 | 1U << 10;
    mtrrs.fixed.fill(0x0606'0606'0606'0606);
    ViewRig<paging::EptFormat, paging::MtrrMap> rig{shootdown, paging::MtrrMap{mtrrs, 39}};
    ASSERT_TRUE(rig.built);
    rig.view.arm({Gpa{0}, 2 * gib}, rights_none, PageSize::small);
    mtrrs.variable[0] = {0x0040'0004, 0x7F'FFFF'F000 | 1U << 11}; // 4 KiB write-through at 4 MiB
    ASSERT_TRUE(rig.map.retype(2 * gib, paging::MtrrMap{mtrrs, 39}));
    auto const type = [&](std::uint64_t gpa) {
        return paging::EptFormat::type(paging::EptFormat::Entry{rig.regions[gpa / (2 * mib)].table[gpa / 4096 % 512]});
    };
    rig.view.arm({Gpa{4 * mib}, 2 * mib}, rights_none, PageSize::huge);
    EXPECT_EQ(rig.view.state(Gpa{4 * mib}).size, PageSize::small) << "two types";
    rig.view.grant(Gpa{4 * mib}, rights_read);
    EXPECT_EQ(type(4 * mib), paging::MemoryType::write_through);
    EXPECT_EQ(type(4 * mib + 4096), paging::MemoryType::write_back);
    EXPECT_TRUE(rig.view.state(Gpa{6 * mib}).watchable);
}

} // namespace
} // namespace undercroft::memory
