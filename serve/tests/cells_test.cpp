// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "serve/index/cells.hpp"

namespace undercroft::serve {
namespace {

struct Access {
    std::int64_t time_ns;
    analysis::BlockRun run;
    Layer layer;
    float entropy;
};

/// Bursts, long runs and single blocks far apart, around a border of windows.
std::vector<Access> accesses()
{
    std::mt19937_64 random{7};
    std::int64_t const border = std::int64_t{5000} << (base_time_shift + column_bits);
    std::vector<Access> list;
    for (int i = 0; i < 30'000; ++i) {
        std::int64_t const time = border + static_cast<std::int64_t>(random() % 4'000'000'000'000) - 2'000'000'000'000;
        std::uint64_t const block = i % 3 == 0 ? random() % 4096 : random() % (std::uint64_t{1} << 30);
        list.push_back({.time_ns = time,
                        .run = {.first = block, .count = 1 + random() % (i % 5 == 0 ? 600 : 4)},
                        .layer = static_cast<Layer>(random() % 4),
                        .entropy = 0.25F * static_cast<float>(random() % 5)});
    }
    return list;
}

/// The definition, one block at a time.
TileGrids slowly(TileShape const& shape, std::vector<Access> const& list)
{
    TileGrids grids{shape};
    for (Access const& access : list) {
        std::int64_t const column = (access.time_ns >> shape.time_shift) - shape.first_column;
        for (std::uint64_t block = access.run.first; block < access.run.first + access.run.count; ++block) {
            auto const row =
                static_cast<std::int64_t>(block >> shape.block_shift) - static_cast<std::int64_t>(shape.first_row);
            if (column >= 0 && column < shape.columns && row >= 0 && row < shape.rows)
                grids.add(access.layer, static_cast<std::size_t>(row * shape.columns + column), 1, access.entropy);
        }
    }
    return grids;
}

TEST(Cells, PlanesAddUpToTheDefinition)
{
    auto const list = accesses();
    PlaneBuilder builder;
    for (Access const& access : list)
        builder.add(3, access.layer, access.time_ns, access.run, 1,
                    access.layer == Layer::write_known ? access.entropy : 0);
    std::map<PlaneKey, std::vector<CellEntry>> planes;
    builder.finish([&](PlaneKey const& key, std::span<CellEntry const> entries) {
        EXPECT_TRUE(std::ranges::is_sorted(entries, {}, &CellEntry::place));
        EXPECT_TRUE(planes.try_emplace(key, entries.begin(), entries.end()).second);
    });
    std::size_t looked_at = 0;
    std::int64_t const middle = list.front().time_ns;
    for (auto const& [key, entries] : planes) {
        TileShape shape{.time_shift = key.time_shift, .block_shift = key.block_shift, .columns = 128, .rows = 128};
        shape.time_shift = std::min(shape.time_shift + 1, largest_time_shift);
        shape.first_column = (middle >> shape.time_shift) - 64;
        // All windows of this plane's kind together make the tile.
        TileGrids grids{shape};
        bool complete = true;
        for (auto const& [other, base] : planes)
            if (other.time_shift == base_time_shift && other.block_shift == base_block_shift &&
                other.window == key.window && other.layer == key.layer) {
                TileGrids from_base{shape};
                add_plane(from_base, shape, other, base);
                add_plane(grids, shape, key, entries);
                for (std::size_t cell = 0; cell < shape.cells(); ++cell) {
                    ASSERT_NEAR(grids.reads[cell], from_base.reads[cell], 1e-3);
                    ASSERT_NEAR(grids.writes[cell], from_base.writes[cell], 1e-3);
                    ASSERT_NEAR(grids.entropy_sum[cell], from_base.entropy_sum[cell], 1e-3);
                }
                ++looked_at;
            }
        EXPECT_TRUE(complete);
    }
    EXPECT_EQ(looked_at, planes.size());
    EXPECT_GT(planes.size(), 16U);

    TileShape shape{.time_shift = 32, .block_shift = 6, .columns = 256, .rows = 256};
    shape.first_column = (middle >> shape.time_shift) - 100;
    TileGrids grids{shape};
    for (auto const& [key, entries] : planes)
        if (key.time_shift == base_time_shift && key.block_shift == base_block_shift)
            add_plane(grids, shape, key, entries);
    TileGrids const expected = slowly(shape, list);
    double sum = 0;
    for (std::size_t cell = 0; cell < shape.cells(); ++cell) {
        ASSERT_NEAR(grids.reads[cell], expected.reads[cell], 1e-3);
        ASSERT_NEAR(grids.writes[cell], expected.writes[cell], 1e-3);
        ASSERT_NEAR(grids.executes[cell], expected.executes[cell], 1e-3);
        ASSERT_NEAR(grids.entropy_sum[cell], expected.entropy_sum[cell], 1e-3);
        ASSERT_NEAR(grids.entropy_count[cell], expected.entropy_count[cell], 1e-3);
        sum += grids.reads[cell];
    }
    EXPECT_GT(sum, 100);
}

TEST(Cells, UnsortedEntriesStayInsideTheTile)
{
    TileShape const shape{
        .time_shift = 28, .block_shift = 4, .first_column = 0, .first_row = 2, .columns = 4, .rows = 4};
    std::vector<CellEntry> const damaged{{.place = std::uint64_t{3} << column_bits, .count = 1, .entropy = 0},
                                         {.place = ~std::uint64_t{0}, .count = 1, .entropy = 0},
                                         {.place = 0, .count = 1, .entropy = 0},
                                         {.place = std::uint64_t{4} << column_bits, .count = 1, .entropy = 0}};
    TileGrids grids{shape};
    add_plane(grids, shape, {.window = 0, .source = 0, .layer = Layer::read, .time_shift = 28, .block_shift = 4},
              damaged);
    double sum = 0;
    for (double const cell : grids.reads)
        sum += cell;
    EXPECT_LE(sum, 4);
}

} // namespace
} // namespace undercroft::serve
