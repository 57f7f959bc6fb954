// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The BIOS's memory map: maps as real machines give them, odd ones, and random ones against a model that knows every
// block of memory by itself.
#include "hypervisor/boot/multiboot2/memory_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

namespace undercroft::multiboot2 {
namespace {

constexpr std::uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;

MapEntry entry(std::uint64_t start, std::uint64_t end, RangeType type = RangeType::usable)
{
    return {start, end - start, type, 0, 20};
}
MapEntry entry_24(std::uint64_t start, std::uint64_t end, RangeType type, std::uint32_t attributes)
{
    return {start, end - start, type, attributes, 24};
}
MemoryMap map_of(std::vector<MapEntry> const& entries)
{
    MemoryMap map;
    for (MapEntry const& e : entries)
        EXPECT_TRUE(map.add(e));
    return map;
}
using Row = std::tuple<std::uint64_t, std::uint64_t, RangeType>;
std::vector<Row> rows(MemoryMap const& map)
{
    std::vector<Row> result;
    for (MapEntry const& e : map.entries())
        result.emplace_back(e.start, e.start + e.bytes, e.type);
    return result;
}
bool always(void const*, std::uint64_t, std::uint64_t)
{
    return true;
}

// QEMU's q35 with 2 GiB, as SeaBIOS 1.16 reports it.
std::vector<MapEntry> const q35 = {
    entry(0, 0x9FC00),
    entry(0x9FC00, 0xA0000, RangeType::reserved),
    entry(0xF0000, 0x100000, RangeType::reserved),
    entry(0x100000, 0x7FFDC000),
    entry(0x7FFDC000, 0x80000000, RangeType::reserved),
    entry(0xB0000000, 0xC0000000, RangeType::reserved),
    entry(0xFED1C000, 0xFED20000, RangeType::reserved),
    entry(0xFFFC0000, 0x100000000, RangeType::reserved),
};

TEST(MemoryMap, HidesInsideOneEntry)
{
    MemoryMap map = map_of(q35);
    ASSERT_TRUE(map.hide(0x7A200000, 0x5C00000));
    ASSERT_TRUE(map.hide(0x9D000, 0xA0000 - 0x9D000));
    EXPECT_EQ(rows(map), (std::vector<Row>{
                             {0, 0x9D000, RangeType::usable},
                             {0x9D000, 0x9FC00, RangeType::reserved},
                             {0x9FC00, 0xA0000, RangeType::reserved},
                             {0xF0000, 0x100000, RangeType::reserved},
                             {0x100000, 0x7A200000, RangeType::usable},
                             {0x7A200000, 0x7FE00000, RangeType::reserved},
                             {0x7FE00000, 0x7FFDC000, RangeType::usable},
                             {0x7FFDC000, 0x80000000, RangeType::reserved},
                             {0xB0000000, 0xC0000000, RangeType::reserved},
                             {0xFED1C000, 0xFED20000, RangeType::reserved},
                             {0xFFFC0000, 0x100000000, RangeType::reserved},
                         }));
}

TEST(MemoryMap, HidesWholeEntriesAndAcrossOverlappingUnsortedOnes)
{
    MemoryMap map = map_of({entry(64 * mib, 128 * mib), entry(0, 640 * kib), entry(100 * mib, 160 * mib),
                            entry(90 * mib, 95 * mib, RangeType::acpi_nvs), entry(1 * mib, 64 * mib)});
    ASSERT_TRUE(map.hide(60 * mib, 68 * mib)); // up to 128 MiB
    EXPECT_EQ(rows(map), (std::vector<Row>{
                             {64 * mib, 128 * mib, RangeType::reserved},
                             {0, 640 * kib, RangeType::usable},
                             {100 * mib, 128 * mib, RangeType::reserved},
                             {128 * mib, 160 * mib, RangeType::usable},
                             {90 * mib, 95 * mib, RangeType::acpi_nvs},
                             {1 * mib, 60 * mib, RangeType::usable},
                             {60 * mib, 64 * mib, RangeType::reserved},
                         }));
}

TEST(MemoryMap, KeepsTheFormOfEachEntry)
{
    MemoryMap map = map_of({entry_24(1 * mib, 64 * mib, RangeType::usable, 1), entry(64 * mib, 128 * mib)});
    ASSERT_TRUE(map.hide(32 * mib, 64 * mib));
    ASSERT_EQ(map.entries().size(), 4U);
    EXPECT_EQ(map.entries()[0].returned, 24U);
    EXPECT_EQ(map.entries()[1].returned, 24U);
    EXPECT_EQ(map.entries()[1].attributes, 1U); // else a system would skip the very entry that hides the region
    EXPECT_EQ(map.entries()[1].type, RangeType::reserved);
    EXPECT_EQ(map.entries()[2].returned, 20U);
    EXPECT_EQ(map.entries()[3].returned, 20U);
}

TEST(MemoryMap, EntriesToBeIgnoredCountForNothing)
{
    MemoryMap const map =
        map_of({entry_24(1 * mib, 64 * mib, RangeType::usable, 1), entry_24(32 * mib, 64 * mib, RangeType::reserved, 0),
                entry_24(64 * mib, 128 * mib, RangeType::usable, 0)});
    EXPECT_EQ(map.find(16 * mib, 2 * mib, 1 * mib, 4 * gib, {}), 48 * mib);
    EXPECT_EQ(map.usable_from(1 * mib), 63 * mib);
}

TEST(MemoryMap, FullMapIsRefusedUnchanged)
{
    MemoryMap map;
    for (std::uint64_t i = 0; i < MemoryMap::capacity; ++i)
        ASSERT_TRUE(map.add(entry(i * 4 * mib, i * 4 * mib + mib)));
    EXPECT_FALSE(map.add(entry(8 * gib, 9 * gib)));
    auto const before = rows(map);
    EXPECT_FALSE(map.hide(130 * 4 * mib + 64 * kib, 64 * kib)); // would make three of one
    EXPECT_EQ(rows(map), before);
    EXPECT_TRUE(map.hide(130 * 4 * mib, mib)); // one of one
    EXPECT_EQ(map.entries().size(), MemoryMap::capacity);
    EXPECT_EQ(map.entries()[130].type, RangeType::reserved);
}

TEST(MemoryMap, MoreThan128Entries)
{
    MemoryMap map;
    for (std::uint64_t i = 0; i < 200; ++i)
        ASSERT_TRUE(map.add(entry(i * 8 * mib, i * 8 * mib + 6 * mib)));
    EXPECT_EQ(map.find(4 * mib, 2 * mib, 16 * mib, 4 * gib, {}), 199 * 8 * mib + 2 * mib);
    ASSERT_TRUE(map.hide(199 * 8 * mib + 2 * mib, 4 * mib));
    EXPECT_EQ(map.entries().size(), 201U);
    EXPECT_EQ(map.find(4 * mib, 2 * mib, 16 * mib, 4 * gib, {}), 198 * 8 * mib + 2 * mib);
}

TEST(MemoryMap, FindsTheHighestPlaceBelowTheLimit)
{
    std::vector<MapEntry> high = q35;
    high.push_back(entry(4 * gib, 8 * gib));
    MemoryMap const map = map_of(high);
    EXPECT_EQ(map.find(64 * mib, 2 * mib, 16 * mib, 4 * gib, {}), 0x7BE00000U);
    boot::MemoryRange const taken[] = {{0x7FE00000, 0x1000}, {0x200000, 0x300000}};
    EXPECT_EQ(map.find(64 * mib, 2 * mib, 16 * mib, 4 * gib, taken), 0x7BE00000U);
    boot::MemoryRange const in_the_way[] = {{0x7FD00000, 0x1000}, {0x7B000000, 1}};
    EXPECT_EQ(map.find(64 * mib, 2 * mib, 16 * mib, 4 * gib, in_the_way), 0x7BC00000U);
    EXPECT_EQ(map.find(2 * gib, 2 * mib, 16 * mib, 4 * gib, {}), std::nullopt);
    EXPECT_EQ(map.find(mib, 2 * mib, 16 * mib, 17 * mib, {}), 16 * mib);
    EXPECT_EQ(map.find(mib, 2 * mib, 3 * gib, 4 * gib, {}), std::nullopt);
}

TEST(MemoryMap, SizesEndAtHolesAndObstacles)
{
    MemoryMap const map =
        map_of({entry(16 * mib, 64 * mib), entry(1 * mib, 15 * mib), entry(32 * mib, 33 * mib, RangeType::reserved)});
    EXPECT_EQ(map.usable_from(1 * mib), 14 * mib);
    EXPECT_EQ(map.usable_from(15 * mib), 0U);
    EXPECT_EQ(map.usable_from(16 * mib), 16 * mib);
    EXPECT_EQ(map.usable_from(32 * mib), 0U);
    EXPECT_TRUE(map.usable(16 * mib, 16 * mib));
    EXPECT_FALSE(map.usable(16 * mib, 16 * mib + 1));
}

TEST(MemoryMap, WrappingEntryEndsAtTheTop)
{
    MemoryMap map = map_of({entry(0, 2 * gib), {3 * gib, ~0ULL, RangeType::reserved, 0, 20}});
    EXPECT_EQ(map.find(mib, mib, 3 * gib + mib, 4 * gib, {}), std::nullopt);
    EXPECT_TRUE(map.hide(gib, mib));
    EXPECT_EQ(map.entries().size(), 4U);
}

TEST(FindRam, TakesWhatLiesBesideMemoryButNoDevices)
{
    RamRanges ram = find_ram(map_of(q35), &always, nullptr);
    ASSERT_EQ(ram.ranges().size(), 2U);
    EXPECT_EQ(ram.ranges()[0].start, 0U);
    EXPECT_EQ(ram.ranges()[0].bytes, 0xA0000U);
    EXPECT_EQ(ram.ranges()[1].start, 0xC0000U); // the BIOS's code, which no map mentions
    EXPECT_EQ(ram.ranges()[1].start + ram.ranges()[1].bytes, 0x80000000U);
    ram.exclude(0x7A200000, 0x5C00000);
    ASSERT_EQ(ram.ranges().size(), 3U);
    EXPECT_EQ(ram.ranges()[1].start + ram.ranges()[1].bytes, 0x7A200000U);
    EXPECT_EQ(ram.ranges()[2].start, 0x7FE00000U);
    EXPECT_EQ(ram.ranges()[2].bytes, 0x200000U);
}

TEST(FindRam, UncachedNeighboursStayOut)
{
    // A laptop's: graphics memory and the configuration space follow memory without a gap.
    MemoryMap const map = map_of(
        {entry(0, 0x9D800), entry(0x100000, 0xD9000000), entry(0xD9000000, 0xD9400000, RangeType::acpi_nvs),
         entry(0xD9400000, 0xDB000000, RangeType::reserved), entry(0xDB000000, 0xE0000000, RangeType::reserved),
         entry(0xE0000000, 0xF0000000, RangeType::reserved), entry(0xF8000000, 0xFC000000, RangeType::reserved)});
    auto const below_db = [](void const*, std::uint64_t, std::uint64_t end) { return end <= 0xDB000000; };
    RamRanges const ram = find_ram(map, below_db, nullptr);
    ASSERT_EQ(ram.ranges().size(), 2U);
    EXPECT_EQ(ram.ranges()[0].bytes, 0x9D000U); // whole pages
    EXPECT_EQ(ram.ranges()[1].start + ram.ranges()[1].bytes, 0xDB000000U);
}

/// Memory in blocks of 1 MiB, as an operating system must read a map: what anything forbids is forbidden.
class Model {
public:
    static constexpr std::size_t blocks = 512;
    explicit Model(MemoryMap const& map)
    {
        std::vector<bool> forbidden(blocks);
        usable_.resize(blocks);
        for (MapEntry const& e : map.entries())
            for (std::uint64_t b = e.start / mib; b < (e.start + e.bytes) / mib && b < blocks; ++b)
                (e.type == RangeType::usable ? usable_ : forbidden)[b] = true;
        for (std::size_t b = 0; b < blocks; ++b)
            usable_[b] = usable_[b] && !forbidden[b];
    }
    [[nodiscard]] bool usable(std::size_t block) const { return usable_[block]; }
    /// The highest aligned run.
    [[nodiscard]] std::optional<std::uint64_t> find(std::size_t length, std::size_t align,
                                                    std::vector<bool> const& taken) const
    {
        for (std::size_t start = (blocks - length) / align * align;; start -= align) {
            bool good = true;
            for (std::size_t b = start; b < start + length; ++b)
                good = good && usable_[b] && !taken[b];
            if (good)
                return start * mib;
            if (start < align)
                return {};
        }
    }

private:
    std::vector<bool> usable_;
};

TEST(MemoryMap, RandomMapsAgreeWithTheModel)
{
    std::mt19937 random{1};
    auto const below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    unsigned found = 0;
    for (unsigned round = 0; round < 3000; ++round) {
        MemoryMap map;
        for (std::size_t i = 2 + below(20); i != 0; --i) {
            std::uint64_t const start = below(500), length = below(60);
            ASSERT_TRUE(map.add(entry(start * mib, std::min<std::uint64_t>(start + length, Model::blocks) * mib,
                                      below(3) != 0 ? RangeType::usable : RangeType::reserved)));
        }
        Model const before{map};
        std::vector<bool> taken(Model::blocks);
        boot::MemoryRange const range{below(500) * mib, below(12) * mib};
        for (std::uint64_t b = range.start / mib; b < (range.start + range.bytes) / mib; ++b)
            taken[b] = true;
        std::size_t const length = 1 + below(40), align = 1ULL << below(4);
        auto const place = map.find(length * mib, align * mib, 0, 4 * gib, {&range, 1});
        auto const expected = before.find(length, align, taken);
        // A run that only several entries together make is not looked for.
        if (place) {
            ASSERT_TRUE(expected);
            ASSERT_LE(*place, *expected);
            for (std::size_t b = *place / mib; b < *place / mib + length; ++b)
                ASSERT_TRUE(before.usable(b) && !taken[b]);
            ++found;
        }
        std::size_t const cut = below(500), cut_length = 1 + below(50);
        ASSERT_TRUE(map.hide(cut * mib, cut_length * mib));
        Model const after{map};
        for (std::size_t b = 0; b < Model::blocks; ++b)
            ASSERT_EQ(after.usable(b), before.usable(b) && (b < cut || b >= cut + cut_length)) << round << ' ' << b;
    }
    EXPECT_GT(found, 500U);
}

} // namespace
} // namespace undercroft::multiboot2
