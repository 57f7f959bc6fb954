// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/mmio_router.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace undercroft::core {
namespace {

struct Access {
    char target;
    std::uint64_t offset;
    unsigned width;
    std::uint64_t value;
    bool operator==(Access const&) const = default;
};

/// A bank of bytes with value = low byte of the offset; writes are logged.
struct Bank final : MmioHandler {
    Bank(char n, std::uint64_t size, std::vector<Access>& l) : name{n}, bytes{size}, log{&l} {}
    std::uint64_t read(std::uint64_t offset, unsigned width) override
    {
        EXPECT_LE(offset + width, bytes);
        std::uint64_t value = 0;
        for (unsigned i = 0; i < width; ++i)
            value |= ((offset + i) & 0xFF) << (8 * i);
        return value;
    }
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        EXPECT_LE(offset + width, bytes);
        log->push_back({name, offset, width, value});
    }
    char name;
    std::uint64_t bytes;
    std::vector<Access>* log;
};

struct Bus final : MmioBus {
    explicit Bus(std::vector<Access>& l) : log{&l} {}
    std::uint64_t load(std::uint64_t, unsigned) override { return 0xEEEE'EEEE'EEEE'EEEE; }
    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        log->push_back({'-', offset, width, value});
    }
    std::vector<Access>* log;
};

struct MmioRouterTest : ::testing::Test {
    std::vector<Access> log;
    Bus bus{log};
    Bank a{'a', 0x1100, log}, b{'b', 0x10, log};
    MmioRouter router{bus};
};

TEST_F(MmioRouterTest, LeadsToTheRangeOrElsewhere)
{
    ASSERT_TRUE(router.add({Gpa{0xFEB0'0000}, 0x1100, &a, true}));
    EXPECT_EQ(router.read(0xFEB0'0102, 4), 0x05040302U);
    EXPECT_EQ(router.read(0xFEB0'1100, 2), 0xEEEEU);
    EXPECT_EQ(router.read(0xFEAF'FFFC, 4), 0xEEEE'EEEEU);
    router.write(0xFEB0'0010, 1, 0xFFF1);
    router.write(0xFEB0'1100, 8, 5);
    EXPECT_EQ(log, (std::vector<Access>{{'a', 0x10, 1, 0xF1}, {'-', 0xFEB0'1100, 8, 5}}));
    auto const route = router.lookup(Gpa{0xFEB0'10FF});
    ASSERT_TRUE(route);
    EXPECT_EQ(route->offset, 0x10FFU);
    EXPECT_TRUE(route->range.readable_by_guest);
    EXPECT_FALSE(router.lookup(Gpa{0xFEB0'1100}));
    EXPECT_FALSE(router.lookup(Gpa{0xFEAF'FFFF}));
}

TEST_F(MmioRouterTest, StraddlingAccessesAreCutAtTheBorders)
{
    ASSERT_TRUE(router.add({Gpa{0x1000}, 0x1100, &a}));
    ASSERT_TRUE(router.add({Gpa{0x2104}, 0x10, &b}));
    EXPECT_EQ(router.read(0x20FC, 8), 0xEEEE'EEEE'FFFE'FDFCU);
    EXPECT_EQ(router.read(0x2100, 8), 0x0302'0100'EEEE'EEEEU) << "aligned, second half in b";
    EXPECT_EQ(router.read(0x20FD, 8), 0x00EE'EEEE'EEFF'FEFDU) << "a, elsewhere, b";
    EXPECT_EQ(router.read(0x2113, 2), 0xEE0FU);
    router.write(0x20FE, 4, 0x44332211);
    EXPECT_EQ(log, (std::vector<Access>{{'a', 0x10FE, 2, 0x2211}, {'-', 0x2100, 2, 0x4433}}));
    log.clear();
    router.write(0x20FF, 8, 0x8877665544332211);
    EXPECT_EQ(log, (std::vector<Access>{{'a', 0x10FF, 1, 0x11},
                                        {'-', 0x2100, 1, 0x22},
                                        {'-', 0x2101, 2, 0x4433},
                                        {'-', 0x2103, 1, 0x55},
                                        {'b', 0, 1, 0x66},
                                        {'b', 1, 2, 0x8877}}));
}

TEST_F(MmioRouterTest, UnalignedInsideARangeStaysWhole)
{
    ASSERT_TRUE(router.add({Gpa{0x1000}, 0x1100, &a}));
    router.write(0x1003, 8, 1);
    EXPECT_EQ(log, (std::vector<Access>{{'a', 3, 8, 1}}));
}

TEST_F(MmioRouterTest, RefusesWhatDoesNotFit)
{
    auto const id = router.add({Gpa{0x1000}, 0x100, &a});
    ASSERT_TRUE(id);
    EXPECT_FALSE(router.add({Gpa{0x10FF}, 0x100, &b}));
    EXPECT_FALSE(router.add({Gpa{0xF01}, 0x100, &b}));
    EXPECT_FALSE(router.add({Gpa{0x1010}, 1, &b}));
    EXPECT_FALSE(router.add({Gpa{0x2000}, 0, &b}));
    EXPECT_FALSE(router.add({Gpa{0x2000}, 8, nullptr}));
    EXPECT_FALSE(router.add({Gpa{~0ULL}, 2, &b}));
    EXPECT_TRUE(router.add({Gpa{~0ULL}, 1, &b}));
    EXPECT_FALSE(router.move(*id, Gpa{~0ULL - 0xFF})) << "would overlap";
    EXPECT_FALSE(router.move(31, Gpa{0}));
    EXPECT_FALSE(router.move(99, Gpa{0}));
    EXPECT_TRUE(router.lookup(Gpa{0x1000}));
    for (unsigned i = 2; i < MmioRouter::capacity; ++i)
        EXPECT_TRUE(router.add({Gpa{0x10000 + i * 0x1000ULL}, 8, &b}));
    EXPECT_FALSE(router.add({Gpa{0x8'0000}, 8, &b})) << "full";
    router.remove(*id);
    EXPECT_TRUE(router.add({Gpa{0x8'0000}, 8, &b}));
}

TEST_F(MmioRouterTest, MovesAndRemoves)
{
    auto const id = router.add({Gpa{0x1000}, 0x1000, &a});
    ASSERT_TRUE(id);
    EXPECT_TRUE(router.move(*id, Gpa{0x1800})) << "a range may move onto its own old place";
    EXPECT_FALSE(router.lookup(Gpa{0x17FF}));
    EXPECT_EQ(router.lookup(Gpa{0x1800})->offset, 0U);
    unsigned seen = 0;
    router.for_each_overlap(Gpa{0x1000}, 0x801, [&](auto const& r) { seen += r.gpa == Gpa{0x1800}; });
    router.for_each_overlap(Gpa{0x1000}, 0x800, [&](auto const&) { seen += 100; });
    EXPECT_EQ(seen, 1U);
    router.remove(*id);
    EXPECT_FALSE(router.lookup(Gpa{0x1800}));
    EXPECT_FALSE(router.range(*id));
}

TEST_F(MmioRouterTest, ReadersNeverSeeAMixtureOfTwoRanges)
{
    MmioRouter::Range const one{Gpa{0x10'0000}, 0x1100, &a, true}, two{Gpa{0x20'0000}, 0x10, &b, false};
    auto const same = [](MmioRouter::Range const& x, MmioRouter::Range const& y) {
        return x.gpa == y.gpa && x.bytes == y.bytes && x.handler == y.handler &&
               x.readable_by_guest == y.readable_by_guest;
    };
    std::jthread const writer{[&](std::stop_token const& stop) {
        for (unsigned i = 0; !stop.stop_requested(); ++i) {
            auto const id = router.add(i % 2 ? one : two);
            EXPECT_EQ(id, 0U);
            router.remove(*id);
        }
    }};
    unsigned hits[2] = {};
    for (unsigned i = 0; i < 100'000'000 && (hits[0] < 20000 || hits[1] < 20000); ++i) {
        auto const r = router.range(0);
        if (!r)
            continue;
        bool const first = same(*r, one);
        ASSERT_TRUE(first || same(*r, two)) << std::hex << r->gpa.value << " " << r->bytes;
        ++hits[first];
    }
    EXPECT_GE(hits[0], 20000U);
    EXPECT_GE(hits[1], 20000U);
}

} // namespace
} // namespace undercroft::core
