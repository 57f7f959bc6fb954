// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/paging/nested_table.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "hypervisor/paging/ept_format.hpp"
#include "hypervisor/paging/npt_format.hpp"
#include "hypervisor/paging/page_pool.hpp"

namespace undercroft::paging {
namespace {

constexpr std::uint64_t kib4 = 1ULL << 12, mib2 = 1ULL << 21, gib1 = 1ULL << 30;

/// Keeps each past state: every store with the value that it replaced.
struct RecordingMemory {
    struct Store {
        std::uint64_t* entry;
        std::uint64_t before, after;
    };
    static inline std::vector<Store> log;
    static std::uint64_t load(std::uint64_t const& e) { return e; }
    static void store(std::uint64_t& e, std::uint64_t value)
    {
        log.push_back({&e, e, value});
        e = value;
    }
};

/// Holds translations like a processor until it is told to flush.
struct FakeTlb {
    std::map<std::uint64_t, Mapping> cached;
    unsigned flushes = 0;
    void request_flush()
    {
        ++flushes;
        cached.clear();
    }
};

template <typename Format>
class NestedTableTest : public ::testing::Test {
protected:
    using Table = NestedTable<Format, PagePool, FakeTlb, RecordingMemory>;
    static constexpr std::size_t pages = 4096;

    NestedTableTest() { remake({.pages_1g = true, .pages_2m = true, .execute_only = false, .address_bits = 40}); }
    void remake(TableCapabilities capabilities, std::size_t pool_pages = pages)
    {
        memory.reset(static_cast<std::byte*>(std::aligned_alloc(page_bytes, pool_pages * page_bytes)));
        std::memset(memory.get(), 0xA5, pool_pages * page_bytes);
        // A made-up host address shows where a pointer is used as an address or the reverse.
        pool = PagePool{memory.get(), pool_pages, 0x1'0000'0000 - reinterpret_cast<std::uint64_t>(memory.get())};
        tlb = {};
        table = std::make_unique<Table>(pool, tlb, capabilities);
        ASSERT_TRUE(table->create());
        RecordingMemory::log.clear();
    }
    Mapping at(std::uint64_t gpa) const { return table->lookup(Gpa{gpa}); }
    bool identity(std::uint64_t gpa) const { return at(gpa).mapped && at(gpa).host == gpa; }
    std::map<std::uint64_t, std::size_t> sizes() const
    {
        std::map<std::uint64_t, std::size_t> result;
        table->walk([&](Gpa, unsigned, std::uint64_t, Mapping m) { ++result[m.page_bytes]; });
        return result;
    }
    /// What the processor may still use must not exceed what the table says.
    void cache(std::uint64_t gpa) { tlb.cached[gpa] = at(gpa); }
    void expect_tlb_harmless() const
    {
        for (auto const& [gpa, old] : tlb.cached) {
            if (!old.rights.any())
                continue;
            Mapping const now = at(gpa);
            EXPECT_TRUE(now.rights.includes(old.rights)) << std::hex << gpa;
            EXPECT_EQ(now.host, old.host) << std::hex << gpa;
            EXPECT_EQ(now.type, old.type) << std::hex << gpa;
        }
    }

    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte, Free> memory;
    PagePool pool;
    FakeTlb tlb;
    std::unique_ptr<Table> table;
};

using Formats = ::testing::Types<NptFormat, EptFormat>;
TYPED_TEST_SUITE(NestedTableTest, Formats);

bool same(Mapping const& a, Mapping const& b)
{
    return a.mapped == b.mapped && a.host == b.host && a.rights == b.rights && (!a.mapped || a.type == b.type);
}

TYPED_TEST(NestedTableTest, IdentityUsesTheLargestPages)
{
    ASSERT_TRUE(this->table->map_identity({Gpa{gib1 - mib2 - kib4}, 2 * gib1}, rights_all, MemoryType::write_back));
    EXPECT_EQ(this->sizes(), (std::map<std::uint64_t, std::size_t>{{kib4, 1 + 511}, {mib2, 1 + 510}, {gib1, 1}}));
    EXPECT_TRUE(this->identity(gib1 + 12345));
    EXPECT_FALSE(this->at(gib1 - mib2 - 2 * kib4).mapped);
    EXPECT_TRUE(this->identity(3 * gib1 - mib2 - 2 * kib4));
    EXPECT_FALSE(this->at(3 * gib1 - mib2 - kib4).mapped);
    EXPECT_EQ(this->tlb.flushes, 0U) << "nothing was mapped before";
}

TYPED_TEST(NestedTableTest, PageSizesComeFromTheCapabilities)
{
    this->remake({.pages_1g = false, .pages_2m = true, .address_bits = 40});
    ASSERT_TRUE(this->table->map_identity({Gpa{0}, gib1}, rights_all, MemoryType::write_back));
    EXPECT_EQ(this->sizes(), (std::map<std::uint64_t, std::size_t>{{mib2, 512}}));
    this->remake({.pages_1g = false, .pages_2m = false, .address_bits = 40});
    ASSERT_TRUE(this->table->map_identity({Gpa{0}, mib2}, rights_all, MemoryType::write_back));
    EXPECT_EQ(this->sizes(), (std::map<std::uint64_t, std::size_t>{{kib4, 512}}));
}

TYPED_TEST(NestedTableTest, AddressesUpToTheWidth)
{
    this->remake({.pages_1g = true, .pages_2m = true, .address_bits = 52});
    std::uint64_t const top = 1ULL << 48;
    ASSERT_TRUE(this->table->map_identity({Gpa{top - gib1}, gib1}, rights_all, MemoryType::uncacheable));
    EXPECT_TRUE(this->identity(top - 1));
    ASSERT_TRUE(this->table->redirect(Gpa{0x5000}, (1ULL << 52) - page_bytes));
    EXPECT_EQ(this->at(0x5001).host, (1ULL << 52) - page_bytes + 1);
    EXPECT_EQ(this->table->map_identity({Gpa{top}, gib1}, rights_all, MemoryType::write_back).error(),
              TableError::bad_range);
    EXPECT_FALSE(this->at(top).mapped);
}

TYPED_TEST(NestedTableTest, BadRequestsAreRefused)
{
    auto const refused = [&](GpaRange r) {
        return this->table->map_identity(r, rights_all, MemoryType::write_back).error() == TableError::bad_range &&
               this->table->unmap(r).error() == TableError::bad_range;
    };
    EXPECT_TRUE(refused({Gpa{1}, kib4}));
    EXPECT_TRUE(refused({Gpa{0}, kib4 + 1}));
    EXPECT_TRUE(refused({Gpa{0}, 0}));
    EXPECT_TRUE(refused({Gpa{0}, ~0ULL & ~0xFFFULL}));
    EXPECT_TRUE(refused({Gpa{~0ULL & ~0xFFFULL}, 2 * kib4}));
    EXPECT_TRUE(refused({Gpa{(1ULL << 40) - kib4}, 2 * kib4}));
    EXPECT_EQ(this->table->redirect(Gpa{0}, 1ULL << 40).error(), TableError::bad_range);
    EXPECT_EQ(this->table->redirect(Gpa{0}, 0x123).error(), TableError::bad_range);
    EXPECT_EQ(
        this->table->map_identity({Gpa{0}, kib4}, Permissions{false, true, false}, MemoryType::write_back).error(),
        TableError::not_expressible);
    EXPECT_EQ(this->table->set_permissions({Gpa{0}, kib4}, Permissions{false, false, true}).error(),
              TableError::not_expressible);
    EXPECT_EQ(this->table->map_identity({Gpa{0}, kib4}, rights_all, MemoryType::uncached_minus).error(),
              TableError::not_expressible);
    EXPECT_TRUE(RecordingMemory::log.empty());
}

TYPED_TEST(NestedTableTest, SplitKeepsAllOthersAtEachIntermediateState)
{
    ASSERT_TRUE(this->table->map_identity({Gpa{0}, 4 * gib1}, rights_all, MemoryType::write_back));
    auto& log = RecordingMemory::log;
    log.clear();
    std::uint64_t const page = gib1 + 3 * mib2 + 7 * kib4;
    std::vector<std::uint64_t> probes{
        0,        gib1 - 1,    gib1, page - 1, page + kib4, gib1 + 3 * mib2, gib1 + 4 * mib2, 2 * gib1 - 1,
        2 * gib1, 4 * gib1 - 1};
    ASSERT_TRUE(this->table->set_permissions({Gpa{page}, kib4}, rights_read_execute));
    EXPECT_EQ(this->at(page).rights, rights_read_execute);
    EXPECT_EQ(this->tlb.flushes, 1U);
    ASSERT_EQ(log.size(), 512U + 512U + 1 + 1 + 1);
    unsigned changes = 0;
    Permissions newer = rights_read_execute;
    for (auto store = log.rbegin(); store != log.rend(); ++store) {
        *store->entry = store->before;
        for (std::uint64_t probe : probes) {
            ASSERT_TRUE(this->identity(probe)) << std::hex << probe;
            ASSERT_EQ(this->at(probe).rights, rights_all);
            ASSERT_EQ(this->at(probe).type, MemoryType::write_back);
        }
        ASSERT_TRUE(this->identity(page));
        changes += this->at(page).rights != newer;
        newer = this->at(page).rights;
    }
    EXPECT_EQ(changes, 1U) << "the page changes in one step";
    EXPECT_EQ(newer, rights_all);
}

TYPED_TEST(NestedTableTest, WithoutPagesNothingChanges)
{
    this->remake({.pages_1g = true, .pages_2m = true, .address_bits = 40}, 3); // root, one directory, one to spare
    ASSERT_TRUE(this->table->map_identity({Gpa{0}, 2 * gib1}, rights_all, MemoryType::write_back));
    RecordingMemory::log.clear();
    EXPECT_EQ(this->table->set_permissions({Gpa{gib1 + kib4}, kib4}, rights_read).error(), TableError::out_of_pages);
    EXPECT_EQ(this->table->unmap({Gpa{mib2}, gib1}).error(), TableError::out_of_pages);
    EXPECT_TRUE(RecordingMemory::log.empty());
    EXPECT_EQ(this->tlb.flushes, 0U);
    EXPECT_TRUE(this->table->unmap({Gpa{gib1 + mib2}, mib2})) << "one table is enough here";
    EXPECT_FALSE(this->at(gib1 + mib2).mapped);
    EXPECT_TRUE(this->identity(gib1 + 2 * mib2));
    EXPECT_EQ(this->pool.available(), 0U);
}

TYPED_TEST(NestedTableTest, RightsComeAndGoAndTheTargetStays)
{
    ASSERT_TRUE(this->table->map_identity({Gpa{0}, gib1}, rights_all, MemoryType::write_back));
    ASSERT_TRUE(this->table->redirect(Gpa{mib2}, 0x1234'5000));
    EXPECT_EQ(this->tlb.flushes, 1U);
    ASSERT_TRUE(this->table->set_permissions({Gpa{mib2}, kib4}, rights_none));
    EXPECT_EQ(this->tlb.flushes, 2U);
    EXPECT_EQ(this->at(mib2).rights, rights_none);
    ASSERT_TRUE(this->table->set_permissions({Gpa{mib2}, kib4}, rights_read_write));
    EXPECT_EQ(this->tlb.flushes, 2U) << "more rights need no flush";
    EXPECT_EQ(this->at(mib2).host, 0x1234'5000U);
    EXPECT_EQ(this->at(mib2).rights, rights_read_write);
    ASSERT_TRUE(this->table->unmap({Gpa{mib2}, kib4}));
    ASSERT_TRUE(this->table->set_permissions({Gpa{mib2}, kib4}, rights_all));
    EXPECT_FALSE(this->at(mib2).mapped) << "holes stay holes";
}

TYPED_TEST(NestedTableTest, SameAgainTouchesNothing)
{
    ASSERT_TRUE(this->table->map_identity({Gpa{0}, 2 * gib1}, rights_all, MemoryType::write_back));
    RecordingMemory::log.clear();
    std::size_t const pages = this->pool.available();
    ASSERT_TRUE(this->table->map_identity({Gpa{kib4}, gib1}, rights_all, MemoryType::write_back));
    ASSERT_TRUE(this->table->set_permissions({Gpa{mib2}, kib4}, rights_all));
    EXPECT_TRUE(RecordingMemory::log.empty());
    EXPECT_EQ(this->pool.available(), pages);
}

/// Flat reference for the random test: one byte-sized description per page.
struct FlatMap {
    struct Page {
        bool mapped = false;
        Permissions rights{};
        MemoryType type = MemoryType::uncacheable;
        std::uint64_t host = 0;
    };
    std::vector<Page> pages;
};

TYPED_TEST(NestedTableTest, RandomOperationsAgainstAFlatMap)
{
    constexpr std::uint64_t universe = 3 * gib1;
    std::mt19937_64 random{20261122};
    Permissions const all_rights[] = {rights_none, rights_read, rights_read_execute, rights_read_write, rights_all};
    MemoryType const types[] = {MemoryType::write_back, MemoryType::uncacheable, MemoryType::write_through};
    FlatMap flat;
    flat.pages.resize(universe / kib4);
    auto const pick = [&](auto const& list) { return list[random() % std::size(list)]; };
    for (unsigned step = 0; step < 400; ++step) {
        std::uint64_t const unit = pick(std::array{kib4, kib4, mib2, gib1});
        std::uint64_t const begin = random() % (universe / unit) * unit;
        std::uint64_t const bytes = unit * (1 + random() % std::min<std::uint64_t>((universe - begin) / unit, 40));
        Permissions const rights = pick(all_rights);
        MemoryType const type = pick(types);
        unsigned const op = static_cast<unsigned>(random() % 4);
        for (int i = 0; i < 20; ++i)
            this->cache(random() % universe);
        this->cache(begin);
        this->cache(begin + bytes - 1);
        RecordingMemory::log.clear();
        std::uint64_t const target = (random() % (1ULL << 39)) & ~0xFFFULL;
        GpaRange const range{Gpa{begin}, op == 3 ? kib4 : bytes};
        auto const result = op == 0   ? this->table->map_identity(range, rights, type)
                            : op == 1 ? this->table->set_permissions(range, rights)
                            : op == 2 ? this->table->unmap(range)
                                      : this->table->redirect(Gpa{begin}, target, rights, type);
        if (!result) {
            ASSERT_EQ(result.error(), TableError::out_of_pages);
            continue;
        }
        this->expect_tlb_harmless();
        for (std::uint64_t gpa = begin; gpa < begin + range.bytes; gpa += kib4) {
            auto& page = flat.pages[gpa / kib4];
            if (op == 0 || op == 3)
                page = {true, rights, type, op == 0 ? gpa : target};
            else if (op == 1 && page.mapped)
                page.rights = rights;
            else if (op == 2)
                page = {};
        }
        auto const agrees = [&](std::uint64_t gpa) {
            auto const& page = flat.pages[gpa / kib4];
            return same(this->at(gpa), {page.mapped, page.mapped ? page.host + gpa % kib4 : 0, page.rights, page.type});
        };
        for (int i = 0; i < 200; ++i) {
            std::uint64_t const gpa = random() % universe;
            ASSERT_TRUE(agrees(gpa)) << "step " << step << " gpa " << std::hex << gpa;
        }
        if (step % 50 == 49)
            for (std::uint64_t gpa = 0; gpa < universe; gpa += kib4)
                ASSERT_TRUE(agrees(gpa)) << "step " << step << " gpa " << std::hex << gpa;
    }
}

TYPED_TEST(NestedTableTest, RandomOperationsWithTooFewPages)
{
    std::mt19937_64 random{42};
    unsigned refused = 0, done = 0;
    for (std::size_t pool_pages = 2; pool_pages < 24; ++pool_pages) {
        this->remake({.pages_1g = true, .pages_2m = true, .address_bits = 40}, pool_pages);
        ASSERT_TRUE(this->table->map_identity({Gpa{0}, 4 * gib1}, rights_all, MemoryType::write_back));
        for (unsigned step = 0; step < 40; ++step) {
            std::uint64_t const unit = random() % 2 ? kib4 : mib2;
            std::uint64_t const begin = random() % (4 * gib1 / unit) * unit;
            std::uint64_t const bytes =
                unit * (1 + random() % std::min<std::uint64_t>((4 * gib1 - begin) / unit, 2000));
            unsigned const flushes = this->tlb.flushes;
            std::size_t const available = this->pool.available();
            RecordingMemory::log.clear();
            auto const result = random() % 2 ? this->table->unmap({Gpa{begin}, bytes})
                                             : this->table->set_permissions({Gpa{begin}, bytes}, rights_read);
            if (result) {
                ++done;
                continue;
            }
            ++refused;
            ASSERT_EQ(result.error(), TableError::out_of_pages);
            ASSERT_TRUE(RecordingMemory::log.empty());
            ASSERT_EQ(this->tlb.flushes, flushes);
            ASSERT_EQ(this->pool.available(), available);
        }
    }
    EXPECT_GT(refused, 100U);
    EXPECT_GT(done, 50U);
}

TEST(EptFormatTest, ExecuteOnlyWhereTheProcessorHasIt)
{
    alignas(page_bytes) static std::byte memory[8 * page_bytes];
    PagePool pool{memory, 8};
    FakeTlb tlb;
    NestedTable<EptFormat, PagePool, FakeTlb> table{pool, tlb, {.execute_only = true, .address_bits = 39}};
    ASSERT_TRUE(table.create());
    EXPECT_EQ(table.root(), reinterpret_cast<std::uint64_t>(memory));
    ASSERT_TRUE(table.map_identity({Gpa{0x1000}, page_bytes}, {false, false, true}, MemoryType::write_combining));
    EXPECT_EQ(table.lookup(Gpa{0x1000}).rights, (Permissions{false, false, true}));
    EXPECT_EQ(table.lookup(Gpa{0x1000}).type, MemoryType::write_combining);
}

} // namespace
} // namespace undercroft::paging
