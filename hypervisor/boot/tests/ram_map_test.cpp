// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/uefi/ram_map.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

namespace undercroft::efi {
namespace {

struct Piece {
    MemoryType type;
    std::uint64_t start, pages;
    std::uint64_t attribute = 0xF; ///< UC, WC, WT, WB
};

class RamMap : public testing::Test {
protected:
    bool list(std::vector<Piece> const& pieces, std::uint64_t stride = 48)
    {
        std::vector<std::uint8_t> bytes(pieces.size() * stride, 0xEE);
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            MemoryDescriptor const d{pieces[i].type, 0, pieces[i].start, 0, pieces[i].pages, pieces[i].attribute};
            std::memcpy(bytes.data() + i * stride, &d, sizeof(d));
        }
        return list_ram({bytes.data(), bytes.size(), stride}, *info);
    }
    std::unique_ptr<boot::BootInfo> info = std::make_unique<boot::BootInfo>();
};

TEST_F(RamMap, NeighboursAreJoinedWhateverTheirOrder)
{
    ASSERT_TRUE(list({{MemoryType::boot_data, 0x3000, 1},
                      {MemoryType::conventional, 0x1000, 2},
                      {MemoryType::reserved, 0x5000, 1, 1},
                      {MemoryType::acpi_nvs, 0x4000, 1},
                      {MemoryType::mmio, 0x8000, 4},
                      {MemoryType::reserved, 0x6000, 1}}));
    ASSERT_EQ(info->memory_ranges, 2U);
    EXPECT_EQ(info->memory[0].start, 0x1000U);
    EXPECT_EQ(info->memory[0].bytes, 0x4000U);
    EXPECT_EQ(info->memory[1].start, 0x6000U);
    EXPECT_EQ(info->memory[1].bytes, 0x1000U);
}

TEST_F(RamMap, TheSensorsRegionIsNotRam)
{
    info->region_start = 0x20'0000;
    info->region_bytes = 0x20'0000;
    ASSERT_TRUE(list({{MemoryType::conventional, 0x10'0000, 0x100}, {MemoryType::loader_data, 0x20'0000, 0x200}}));
    EXPECT_EQ(info->memory_ranges, 1U);
}

TEST_F(RamMap, ThousandsOfNeighboursFitAndTooManyPiecesAreRefused)
{
    std::vector<Piece> pieces;
    for (std::uint64_t i = 2000; i-- > 0;)
        pieces.push_back({i % 2 == 0 ? MemoryType::boot_code : MemoryType::conventional, i * 4096, 1});
    ASSERT_TRUE(list(pieces));
    EXPECT_EQ(info->memory_ranges, 1U);
    pieces.clear();
    for (std::uint64_t i = 0; i < boot::max_memory_ranges; ++i)
        pieces.push_back({MemoryType::conventional, i * 8192, 1});
    ASSERT_TRUE(list(pieces));
    EXPECT_EQ(info->memory_ranges, boot::max_memory_ranges);
    pieces.push_back({MemoryType::conventional, boot::max_memory_ranges * 8192, 1});
    EXPECT_FALSE(list(pieces));
    pieces.push_back({MemoryType::conventional, boot::max_memory_ranges * 8192 - 4096, 1});
    EXPECT_TRUE(list(pieces)) << "joins the last two";
}

TEST_F(RamMap, MapsThatAreNone)
{
    EXPECT_FALSE(list({}));
    EXPECT_FALSE(list({{MemoryType::reserved, 0, 16, 1}}));
    EXPECT_FALSE(list_ram({nullptr, 0, 0}, *info));
    EXPECT_TRUE(list({{MemoryType::conventional, 0x1000, ~0ULL}})) << "an absurd length ends where addresses end";
    EXPECT_EQ(info->memory[0].bytes, ~0xFFFULL - 0x1000);
}

} // namespace
} // namespace undercroft::efi
