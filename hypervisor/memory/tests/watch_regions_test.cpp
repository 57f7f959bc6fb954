// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/watch_regions.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace undercroft::memory {
namespace {

constexpr std::uint64_t mib2 = huge_page_bytes;

/// Looks at region `at` when just the pieces for which accessed(piece) holds have their bits set.
template <typename Accessed>
LookResult look(WatchRegion const& region, Accessed&& accessed)
{
    LookResult result;
    for (std::uint64_t piece = region.range.begin.value / mib2; piece * mib2 < region.range.end(); ++piece) {
        if (!accessed(piece))
            continue;
        if (result.accessed++ == 0)
            result.first_run = {Gpa{piece * mib2}, mib2};
        else if (result.first_run.end() == piece * mib2)
            result.first_run.bytes += mib2;
    }
    return result;
}

template <typename Accessed>
void scan(WatchRegions& regions, std::uint32_t number, Accessed&& accessed)
{
    for (std::uint64_t cursor = 0;;) {
        std::size_t at = 0;
        while (at < regions.all().size() && regions.all()[at].range.end() <= cursor)
            ++at;
        if (at == regions.all().size())
            return;
        WatchRegion const region = regions.all()[at];
        cursor = region.range.end();
        if (region.due <= number)
            regions.learn(at, look(region, accessed), number, 128);
    }
}

void expect_gapless(WatchRegions const& regions, std::uint64_t begin, std::uint64_t end)
{
    std::uint64_t at = begin;
    for (WatchRegion const& region : regions.all()) {
        EXPECT_EQ(region.range.begin.value, at);
        EXPECT_GT(region.range.bytes, 0U);
        at = region.range.end();
    }
    EXPECT_EQ(at, end);
}

TEST(WatchRegions, SplitsWhereTheBitsChangeAndForgetsWhenTheyDoNot)
{
    WatchRegions regions;
    std::vector<PageRange> const usable{{Gpa{0}, 1000 * mib2}};
    ASSERT_TRUE(regions.reset(usable));
    auto const hot = [](std::uint64_t piece) { return (piece >= 100 && piece < 140) || piece == 700; };
    for (std::uint32_t n = 1; n <= 400; ++n) {
        scan(regions, n, hot);
        if (n % 16 == 0)
            regions.merge();
        expect_gapless(regions, 0, 1000 * mib2);
    }
    ASSERT_EQ(regions.all().size(), 5U);
    EXPECT_EQ(regions.all()[1].range, (PageRange{Gpa{100 * mib2}, 40 * mib2}));
    EXPECT_EQ(regions.all()[3].range, (PageRange{Gpa{700 * mib2}, mib2}));
    EXPECT_GT(regions.all()[1].heat, full_heat * 9 / 10);
    EXPECT_EQ(regions.all()[1].every, 1U);
    EXPECT_EQ(regions.all()[0].heat, 0U);
    EXPECT_EQ(regions.all()[0].every, WatchRegions::max_every) << "nothing happens there: looked at seldom";
    for (std::uint32_t n = 401; n <= 800; ++n) {
        scan(regions, n, [](std::uint64_t) { return false; });
        if (n % 16 == 0)
            regions.merge();
    }
    EXPECT_EQ(regions.all().size(), 1U);
}

TEST(WatchRegions, NeverMoreThanThereIsRoomFor)
{
    WatchRegions regions;
    std::vector<PageRange> const usable{{Gpa{0x1000}, 5000 * mib2 - 0x1000}, {Gpa{6000 * mib2}, 3000 * mib2}};
    ASSERT_TRUE(regions.reset(usable));
    std::mt19937 random{7};
    for (std::uint32_t n = 1; n <= 300; ++n) {
        scan(regions, n, [&](std::uint64_t) { return random() % 2 == 0; }); // the worst that can be
        ASSERT_LE(regions.all().size(), WatchRegions::max_regions);
        if (n % 16 == 0) {
            regions.merge();
            EXPECT_LE(regions.all().size(), WatchRegions::max_regions / 2);
        }
    }
    std::uint64_t bytes = 0;
    for (WatchRegion const& region : regions.all())
        bytes += region.range.bytes;
    EXPECT_EQ(bytes, 8000 * mib2 - 0x1000);
}

TEST(WatchRegions, RefinesTheHottestThatFit)
{
    WatchRegions regions;
    std::vector<PageRange> const usable{{Gpa{0}, 100 * mib2}};
    ASSERT_TRUE(regions.reset(usable));
    for (std::uint32_t n = 1; n <= 64; ++n)
        scan(regions, n, [&](std::uint64_t piece) { return piece < 10 || (piece >= 50 && piece < 80 && n % 2 == 0); });
    EXPECT_EQ(regions.fine_granules(), 0U);
    std::size_t const first = regions.refine(25);
    ASSERT_NE(first, WatchRegions::none);
    EXPECT_EQ(regions.all()[first].range, (PageRange{Gpa{0}, 10 * mib2}));
    while (regions.refine(25) != WatchRegions::none)
        ;
    EXPECT_EQ(regions.fine_granules(), 25U) << "a part of the second one";
    regions.merge();
    EXPECT_EQ(regions.fine_granules(), 25U) << "fine and coarse are not alike";
    expect_gapless(regions, 0, 100 * mib2);
    while (regions.coarsen(12) != WatchRegions::none)
        ;
    EXPECT_EQ(regions.fine_granules(), 12U);
    EXPECT_TRUE(regions.all()[0].fine) << "the hottest stay";
    EXPECT_EQ(regions.coarsen(12), WatchRegions::none);
    for (std::uint32_t n = 65; n <= 200; ++n)
        scan(regions, n, [](std::uint64_t) { return false; });
    while (regions.coarsen(12) != WatchRegions::none)
        ;
    EXPECT_EQ(regions.fine_granules(), 0U) << "what went cold is not looked at closely";
    EXPECT_EQ(regions.refine(100), WatchRegions::none);
}

} // namespace
} // namespace undercroft::memory
