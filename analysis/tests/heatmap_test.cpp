// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Grids, ranges, ticks, colours: against values worked out by hand or by brute force.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "analysis/heatmap/colour.hpp"
#include "analysis/heatmap/densest.hpp"
#include "analysis/heatmap/grid.hpp"
#include "analysis/heatmap/render.hpp"
#include "analysis/heatmap/ticks.hpp"
#include "analysis/read/times.hpp"
#include "wire/record.hpp"

namespace undercroft::analysis {
namespace {

using wire::record_flag::first_of_request;

std::vector<std::string> labels(std::vector<Tick> const& ticks)
{
    std::vector<std::string> result;
    for (Tick const& tick : ticks)
        result.push_back(tick.label);
    return result;
}

RecordRow access(RecordKind kind, std::uint64_t address, std::uint32_t length, std::uint16_t flags = first_of_request)
{
    RecordRow row;
    row.kind = kind;
    row.address = address;
    row.length = length;
    row.flags = flags;
    return row;
}

TEST(BlockCounter, CountsEachBlockTouched)
{
    BlockCounter counter{CountMode::blocks};
    EXPECT_EQ(counter.count(access(RecordKind::read, 8, 4096)).count, 1U);
    EXPECT_EQ(counter.count(access(RecordKind::read, 7, 1024)).count, 2U); // sectors 7 and 8
    EXPECT_EQ(counter.count(access(RecordKind::read, 15, 512)).count, 1U);
    BlockRun const run = counter.count(access(RecordKind::read, 4, 128 * 1024));
    EXPECT_EQ(run.first, 0U);
    EXPECT_EQ(run.count, 33U); // 32 blocks' worth, unaligned
    EXPECT_EQ(counter.count(access(RecordKind::read, 4, 0)).count, 0U);
    EXPECT_EQ(counter.count(access(RecordKind::trim, 8, 4096)).count, 0U);
    EXPECT_EQ(counter.count(access(RecordKind::gap, 8, 4096)).count, 0U);
}

TEST(BlockCounter, CountsSharedBlockOfOneWriteOnce)
{
    // An 8 KiB write to sector 4 touches blocks 0, 1 and 2, in rows that both touch block 1.
    BlockCounter counter{CountMode::blocks};
    EXPECT_EQ(counter.count(access(RecordKind::write, 4, 4096)).count, 2U);
    BlockRun const second = counter.count(access(RecordKind::write, 12, 4096, 0));
    EXPECT_EQ(second.first, 2U);
    EXPECT_EQ(second.count, 1U);
    // Another request that begins where this one ended counts its first block again.
    EXPECT_EQ(counter.count(access(RecordKind::write, 20, 4096)).count, 2U);
}

TEST(BlockCounter, SurvivesTheHighestAddress)
{
    BlockCounter counter{CountMode::blocks};
    BlockRun const run = counter.count(access(RecordKind::read, ~std::uint64_t{0}, ~std::uint32_t{0}));
    EXPECT_LE(run.count, 1U);
    Grid grid{GridShape::make(0, 10, 0, 100, 10, 10)};
    EXPECT_EQ(grid.add(0, run), 0U);
}

TEST(BlockCounter, CountsRequestsAtTheirFirstBlock)
{
    BlockCounter counter{CountMode::requests};
    EXPECT_EQ(counter.count(access(RecordKind::write, 16, 4096)).first, 2U);
    EXPECT_EQ(counter.count(access(RecordKind::write, 24, 4096, 0)).count, 0U);
}

TEST(Grid, SpreadsARunOverRowsAndClips)
{
    // Cells of 10 ns and 4 blocks over blocks 2 ... 13 (the last row of cells is cut at 12).
    Grid grid{GridShape::make(100, 140, 2, 13, 4, 3)};
    ASSERT_EQ(grid.shape().cell_blocks, 4U);
    ASSERT_EQ(grid.shape().rows, 3U);
    EXPECT_EQ(grid.add(119, {.first = 0, .count = 100}), 11U);
    EXPECT_EQ(grid.at(1, 0), 4);
    EXPECT_EQ(grid.at(1, 1), 4);
    EXPECT_EQ(grid.at(1, 2), 3);
    EXPECT_EQ(grid.add(140, {.first = 2, .count = 1}), 0U);
    EXPECT_EQ(grid.add(99, {.first = 2, .count = 1}), 0U);
    EXPECT_EQ(grid.add(120, {.first = 5, .count = 2}), 2U);
    EXPECT_EQ(grid.at(2, 0), 1);
    EXPECT_EQ(grid.at(2, 1), 1);
    EXPECT_EQ(grid.sum(), 13);
    EXPECT_EQ(grid.max(), 4);
}

TEST(Grid, SumEqualsWhatWasAdded)
{
    std::mt19937_64 random{7};
    for (int round = 0; round < 20; ++round) {
        Grid grid{GridShape::make(0, 1 + static_cast<std::int64_t>(random() % 1000), random() % 50,
                                  60 + random() % 1000, 1 + random() % 40, 1 + random() % 40)};
        std::uint64_t added = 0;
        for (int i = 0; i < 500; ++i)
            added += grid.add(static_cast<std::int64_t>(random() % 1100),
                              {.first = random() % 1200, .count = random() % 300});
        EXPECT_EQ(grid.sum(), static_cast<double>(added));
    }
}

/// All windows, the plain way.
Span brute_force(std::vector<double> const& reads, std::vector<double> const& writes, double share)
{
    double const need_reads = share * std::accumulate(reads.begin(), reads.end(), 0.0);
    double const need_writes = share * std::accumulate(writes.begin(), writes.end(), 0.0);
    for (std::size_t length = 1; length <= reads.size(); ++length) {
        for (std::size_t first = 0; first + length <= reads.size(); ++first) {
            auto const sum = [&](std::vector<double> const& counts) {
                auto const at = counts.begin() + static_cast<std::ptrdiff_t>(first);
                return std::accumulate(at, at + static_cast<std::ptrdiff_t>(length), 0.0);
            };
            if (sum(reads) >= need_reads && sum(writes) >= need_writes)
                return {.first = first, .end = first + length};
        }
    }
    return {};
}

TEST(ShortestWindow, EqualsBruteForce)
{
    std::mt19937_64 random{11};
    for (int round = 0; round < 300; ++round) {
        std::vector<double> reads(1 + random() % 40);
        std::vector<double> writes(reads.size());
        for (std::size_t i = 0; i < reads.size(); ++i) {
            reads[i] = random() % 3 == 0 ? static_cast<double>(random() % 50) : 0;
            writes[i] = round % 4 != 0 && random() % 5 == 0 ? static_cast<double>(random() % 50) : 0;
        }
        double const share = round % 2 == 0 ? 0.95 : 0.6;
        bool const none = std::ranges::all_of(reads, [](double x) { return x == 0; }) &&
                          std::ranges::all_of(writes, [](double x) { return x == 0; });
        if (!none) {
            EXPECT_EQ(shortest_window(reads, writes, share), brute_force(reads, writes, share)) << round;
        }
    }
}

TEST(DensestBlocks, FindsASmallClusterOnALargeDisk)
{
    // 96 reads within 1,000 blocks near 200 GB, four scattered over 2^61 blocks.
    std::vector<BlockRun> runs;
    for (std::uint64_t i = 0; i < 96; ++i)
        runs.push_back({.first = 50'000'000 + i * 1000 / 95, .count = 1});
    for (std::uint64_t const far :
         {std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{1} << 60, (std::uint64_t{1} << 61) - 2})
        runs.push_back({.first = far, .count = 1});
    Span const found = densest_blocks(
        [&](auto const& visit) {
            for (BlockRun const& run : runs)
                visit(run, false);
        },
        0.95);
    EXPECT_GE(found.first, 50'000'000U);
    EXPECT_LE(found.end, 50'001'001U);
    EXPECT_GE(found.end - found.first, 980U);
}

TEST(DensestBlocks, NothingGivesAnEmptySpan)
{
    EXPECT_EQ(densest_blocks([](auto const&) {}, 0.95), (Span{}));
}

TEST(FullestWindow, FindsTheFirstOfTheLargestSums)
{
    std::vector<double> const counts{1, 0, 5, 4, 0, 4, 5, 1};
    EXPECT_EQ(fullest_window(counts, 2), (Span{.first = 2, .end = 4}));
    EXPECT_EQ(fullest_window(counts, 3), (Span{.first = 5, .end = 8}));
    EXPECT_EQ(fullest_window(counts, 100), (Span{.first = 0, .end = 8}));
}

TEST(Ticks, NiceStepIsOneTwoOrFive)
{
    EXPECT_DOUBLE_EQ(nice_step(10, 10), 1);
    EXPECT_DOUBLE_EQ(nice_step(11, 10), 2);
    EXPECT_DOUBLE_EQ(nice_step(21, 10), 5);
    EXPECT_DOUBLE_EQ(nice_step(51, 10), 10);
    EXPECT_DOUBLE_EQ(nice_step(0.003, 10), 0.0005);
}

TEST(Ticks, LbaIsGroupedByThousands)
{
    EXPECT_EQ(labels(lba_axis(0, 2'500'000, 5).ticks),
              (std::vector<std::string>{"0", "500,000", "1,000,000", "1,500,000", "2,000,000", "2,500,000"}));
    EXPECT_EQ(group_thousands(0), "0");
    EXPECT_EQ(group_thousands(999), "999");
    EXPECT_EQ(group_thousands(123456), "123,456");
}

TEST(Ticks, OffsetsUseAUnitThatFits)
{
    Axis const gib = offset_axis(0, 4.0 * 2097152, 4);
    EXPECT_EQ(gib.title, "offset (GiB)");
    EXPECT_EQ(labels(gib.ticks), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
    EXPECT_DOUBLE_EQ(gib.ticks[1].position, 2097152); // 2^30 / 512
    EXPECT_EQ(offset_axis(0, 64, 4).title, "offset (KiB)");
    EXPECT_EQ(offset_axis(0, 204800, 4).title, "offset (MiB)");
    // A narrow range far out: labels still differ from each other.
    Axis const narrow = offset_axis(200e6, 200e6 + 400, 8);
    std::vector<std::string> const texts = labels(narrow.ticks);
    EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), texts.size());
    EXPECT_GE(texts.size(), 3U);
}

TEST(Ticks, ShortTimesAreSecondsLongOnesClockTimes)
{
    std::int64_t const start = 1'700'000'000LL * 1'000'000'000; // 2023-11-14 22:13:20 UTC
    Axis const seconds = time_axis(start, start + 60'000'000'000, 6);
    EXPECT_EQ(seconds.title, "time since 2023-11-14 22:13:20.000 UTC (s)");
    EXPECT_EQ(labels(seconds.ticks), (std::vector<std::string>{"0", "10", "20", "30", "40", "50", "60"}));
    Axis const clock = time_axis(start, start + 3'600'000'000'000, 6);
    EXPECT_EQ(clock.title, "UTC on 2023-11-14");
    EXPECT_EQ(labels(clock.ticks), (std::vector<std::string>{"22:15", "22:30", "22:45", "23:00"}));
    EXPECT_DOUBLE_EQ(clock.ticks[0].position, 100e9); // 22:13:20 to 22:15
    Axis const days = time_axis(start, start + 2 * 86'400'000'000'000, 6);
    EXPECT_EQ(labels(days.ticks).front(), "00:00\n2023-11-15");
    EXPECT_EQ(time_axis(start, start + 500, 6).title, "time since 2023-11-14 22:13:20.000 UTC (ns)");
}

TEST(Ticks, TimeAxisEndsForAnyRange)
{
    for (std::int64_t const length : {std::int64_t{1}, std::int64_t{1'000'000}, time_limit_ns / 100, time_limit_ns}) {
        EXPECT_LE(time_axis(time_limit_ns - length, time_limit_ns, 10).ticks.size(), 16U) << length;
    }
}

TEST(Ticks, CountScale)
{
    EXPECT_EQ(labels(count_ticks(4, false, 8)), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
    EXPECT_EQ(labels(count_ticks(10000, true, 8)), (std::vector<std::string>{"1", "10", "100", "1000", "10,000"}));
    EXPECT_EQ(labels(count_ticks(60, true, 8)), (std::vector<std::string>{"1", "2", "5", "10", "20", "50"}));
    EXPECT_EQ(labels(count_ticks(1, true, 8)), (std::vector<std::string>{"1"}));
}

TEST(Colour, StepsAreEqualAndLightnessRises)
{
    double least = 1;
    double most = 0;
    for (int i = 0; i + 8 < 256; i += 8) {
        Oklab const a = to_oklab(heat_colour(i / 255.0));
        Oklab const b = to_oklab(heat_colour((i + 8) / 255.0));
        double const step = std::hypot(a.l - b.l, a.a - b.a, a.b - b.b);
        least = std::min(least, step);
        most = std::max(most, step);
        EXPECT_GT(b.l, a.l) << i;
    }
    EXPECT_LT(most / least, 1.15);
    Rgb const low = heat_colour(0);
    EXPECT_GT(low.b, low.r);
    Rgb const high = heat_colour(1);
    EXPECT_GT(high.r, 2 * high.b);
    EXPECT_GT(high.r, 2 * high.g);
}

TEST(Colour, OklabMatchesItsPublishedExample)
{
    // White is (1, 0, 0) by definition; sRGB red is (0.6280, 0.2249, 0.1258) in CSS Color 4.
    Oklab const white = to_oklab({1, 1, 1});
    EXPECT_NEAR(white.l, 1, 1e-4);
    EXPECT_NEAR(white.a, 0, 1e-4);
    Oklab const red = to_oklab({1, 0, 0});
    EXPECT_NEAR(red.l, 0.6280, 1e-4);
    EXPECT_NEAR(red.a, 0.2249, 1e-4);
    EXPECT_NEAR(red.b, 0.1258, 1e-4);
}

TEST(Picture, GapsAndTimesWithoutCaptureComeInOrder)
{
    Heatmap map{.shape = GridShape::make(0, 100, 0, 100, 10, 10)};
    map.gaps = {{.from_ns = 40, .to_ns = 41, .lost = 3}};
    map.off = {{.from_ns = 10, .to_ns = 20}, {.from_ns = 70, .to_ns = 100}};
    Picture const picture = make_picture(Boot{}, HeatmapRequest{}, map, MapKind::write, RenderOptions{});
    ASSERT_EQ(picture.gaps.size(), 3U);
    EXPECT_EQ(picture.gaps[0].from_ns, 10);
    EXPECT_EQ(picture.gaps[1].from_ns, 40);
    EXPECT_EQ(picture.gaps[2].from_ns, 70);
    EXPECT_EQ(picture.gap_label, "lost, off");
}

} // namespace
} // namespace undercroft::analysis
