// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/page_index.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "hypervisor/memory/page_bitmap.hpp"
#include "hypervisor/memory/token_bucket.hpp"

namespace undercroft::memory {
namespace {

TEST(PageIndex, NumbersPagesWithoutHoles)
{
    PageIndex index;
    EXPECT_EQ(index.pages(), 0U);
    EXPECT_FALSE(index.number(Gpa{0}));
    ASSERT_TRUE(index.add(0x1000, 0x3000));
    ASSERT_TRUE(index.add(0x10000, 0x2000));
    ASSERT_TRUE(index.add(0x12000, 0x1000)); // joins
    EXPECT_EQ(index.ranges().size(), 2U);
    EXPECT_EQ(index.pages(), 6U);
    EXPECT_FALSE(index.number(Gpa{0xfff}));
    EXPECT_EQ(index.number(Gpa{0x1000}), 0U);
    EXPECT_EQ(index.number(Gpa{0x3fff}), 2U);
    EXPECT_FALSE(index.number(Gpa{0x4000}));
    EXPECT_EQ(index.number(Gpa{0x10010}), 3U);
    EXPECT_EQ(index.number(Gpa{0x12fff}), 5U);
    EXPECT_FALSE(index.number(Gpa{0x13000}));
    EXPECT_FALSE(index.number(Gpa{~0ULL}));
    for (std::uint64_t n = 0; n < 6; ++n)
        EXPECT_EQ(index.number(index.page(n)), n);
}

TEST(PageIndex, TakesWholePagesInRisingOrderOnly)
{
    PageIndex index;
    ASSERT_TRUE(index.add(0x1800, 0x1000)); // no whole page
    EXPECT_EQ(index.pages(), 0U);
    ASSERT_TRUE(index.add(0x2001, 0x2fff));
    EXPECT_EQ(index.pages(), 2U);
    EXPECT_EQ(index.page(0).value, 0x3000U);
    EXPECT_FALSE(index.add(0x4000, 0x1000)); // is there already
    EXPECT_FALSE(index.add(0x2000, 0x1000));
    EXPECT_FALSE(index.add(~0xfffULL, 0x2000)); // overflows
}

TEST(PageIndex, PartsOfHostileRanges)
{
    PageIndex index;
    ASSERT_TRUE(index.add(0x1000, 0x2000));
    ASSERT_TRUE(index.add(0x8000, 0x4000));
    std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
    auto const collect = [&](std::uint64_t first, std::uint64_t pages) { parts.emplace_back(first, pages); };
    using Parts = decltype(parts);
    index.for_each_part(Gpa{0x2fff}, 2, collect); // the last byte of a page and the hole behind it
    EXPECT_EQ(parts, (Parts{{1, 1}}));
    parts.clear();
    index.for_each_part(Gpa{0x8fff}, 2, collect); // two pages touched by two bytes
    EXPECT_EQ(parts, (Parts{{2, 2}}));
    parts.clear();
    index.for_each_part(Gpa{0}, ~0ULL, collect);
    EXPECT_EQ(parts, (Parts{{0, 2}, {2, 4}}));
    parts.clear();
    index.for_each_part(Gpa{0xb000}, ~0ULL, collect); // overflows
    EXPECT_EQ(parts, (Parts{{5, 1}}));
    parts.clear();
    index.for_each_part(Gpa{0x3000}, 0x5000, collect);
    index.for_each_part(Gpa{0x8000}, 0, collect);
    EXPECT_TRUE(parts.empty());
}

TEST(PageBitmap, RangesAndSearchAcrossWords)
{
    std::vector<PageBitmap::Word> words(PageBitmap::words_for(200));
    PageBitmap bits{words.data(), 200};
    EXPECT_EQ(bits.next_set(0), PageBitmap::none);
    bits.set_range(60, 70);
    EXPECT_EQ(bits.count(), 70U);
    EXPECT_FALSE(bits.test(59));
    EXPECT_TRUE(bits.test(129));
    EXPECT_FALSE(bits.test(130));
    EXPECT_EQ(bits.next_set(0), 60U);
    EXPECT_EQ(bits.next_set(0, 60), PageBitmap::none);
    EXPECT_EQ(bits.next_set(129), 129U);
    EXPECT_EQ(bits.next_set(130), PageBitmap::none);
    bits.clear(60);
    EXPECT_EQ(bits.next_set(60), 61U);
    bits.set_range(0, 200);
    EXPECT_EQ(bits.count(), 200U);
    EXPECT_EQ(bits.next_set(199), 199U);
    EXPECT_EQ(bits.next_set(200), PageBitmap::none);
    bits.clear_all();
    EXPECT_EQ(bits.count(), 0U);
}

TEST(TokenBucket, GivesItsRateAndNoMoreThanItsBurst)
{
    TokenBucket bucket;
    bucket.configure(1000, 50, 1'000'000, Tsc{0}); // 1 per 1,000 ticks
    EXPECT_FALSE(bucket.open(Tsc{0}));
    EXPECT_FALSE(bucket.open(Tsc{999}));
    EXPECT_TRUE(bucket.open(Tsc{1000}));
    bucket.take(100);
    EXPECT_EQ(bucket.opens_at(Tsc{1000}).value, 101'001U);
    EXPECT_FALSE(bucket.open(Tsc{90'000}));
    std::uint64_t taken = 0;
    for (std::uint64_t now = 100'000; now < 10'100'000; now += 700)
        if (bucket.open(Tsc{now})) {
            bucket.take(7);
            taken += 7;
        }
    EXPECT_NEAR(static_cast<double>(taken), 10'000.0, 60.0); // ten seconds
    EXPECT_TRUE(bucket.open(Tsc{90'000'000'000}));
    EXPECT_LE(bucket.level(), 50);
    EXPECT_TRUE(bucket.open(Tsc{1})); // a clock that is behind changes nothing
}

} // namespace
} // namespace undercroft::memory
