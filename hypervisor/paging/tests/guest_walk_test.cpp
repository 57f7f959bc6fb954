// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/paging/guest_walk.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::paging {
namespace {

using backend::PagingState;
using testing::Ram;

constexpr std::uint64_t pe = 1, wp = 1ULL << 16, pg = 1ULL << 31, pse = 1ULL << 4, pae = 1ULL << 5, la57 = 1ULL << 12;
constexpr std::uint64_t lma = 1ULL << 10 | 1ULL << 8;

PagingState long_mode(std::uint64_t cr3, std::uint8_t cpl = 0)
{
    return {.cr0 = pe | wp | pg,
            .cr3 = cr3,
            .cr4 = pae,
            .efer = lma,
            .rflags = 2,
            .cs_long = true,
            .cs_default_32 = false,
            .cpl = cpl};
}
PagingState protected_mode(std::uint64_t cr3, std::uint64_t cr4, std::uint8_t cpl = 0)
{
    return {.cr0 = pe | wp | pg,
            .cr3 = cr3,
            .cr4 = cr4,
            .efer = 0,
            .rflags = 2,
            .cs_long = false,
            .cs_default_32 = true,
            .cpl = cpl};
}
std::uint64_t gpa_of(Ram const& ram, PagingState const& state, std::uint64_t linear,
                     WalkAccess access = WalkAccess::read)
{
    auto const result = translate(ram, state, Gva{linear}, access);
    return result ? result->gpa.value : ~0ULL - static_cast<std::uint64_t>(result.error());
}
constexpr std::uint64_t failed(WalkError e)
{
    return ~0ULL - static_cast<std::uint64_t>(e);
}

TEST(GuestWalk, WithoutPagingLinearIsPhysical)
{
    Ram const ram{page_bytes};
    PagingState state = protected_mode(0, 0);
    state.cr0 = pe;
    EXPECT_EQ(gpa_of(ram, state, 0x1234'5678), 0x1234'5678U);
    EXPECT_EQ(gpa_of(ram, state, 0x1'0000'0010), 0x10U);
    EXPECT_EQ(ram.reads, 0U);
}

TEST(GuestWalk, LongModeFourLevelsAllSizes)
{
    Ram ram{0x10000};
    std::uint64_t const linear = 0xFFFF'8123'4567'89ABULL; // indices 258, 141, 43, 120
    ram.put<std::uint64_t>(0x1000 + 258 * 8, 0x2027);
    ram.put<std::uint64_t>(0x2000 + 141 * 8, 0x3027);
    ram.put<std::uint64_t>(0x3000 + 43 * 8, 0x4027);
    ram.put<std::uint64_t>(0x4000 + 120 * 8, 0x8000'0AB1'2345'6067ULL); // NX is no obstacle
    auto const state = long_mode(0x1018);                               // CR3's low bits are no address
    ram.reads = 0;
    EXPECT_EQ(gpa_of(ram, state, linear), 0x0AB1'2345'69ABU);
    EXPECT_EQ(ram.reads, 4U);
    ram.put<std::uint64_t>(0x3000 + 43 * 8, 0x1234'4000'00E7ULL | 1ULL << 12); // 2 MiB; bit 12 is PAT
    EXPECT_EQ(gpa_of(ram, state, linear), 0x1234'4000'0000U | (linear & 0x1F'FFFF));
    ram.put<std::uint64_t>(0x2000 + 141 * 8, 0x7'4000'00E7ULL);
    EXPECT_EQ(gpa_of(ram, state, linear), 0x7'4000'0000U | (linear & 0x3FFF'FFFF));
    EXPECT_EQ(translate(ram, state, Gva{linear}, WalkAccess::read)->page_bytes, 1ULL << 30);
}

TEST(GuestWalk, FiveLevels)
{
    Ram ram{0x10000};
    std::uint64_t const linear = 0x0055'8123'4567'89ABULL;
    ram.put<std::uint64_t>(0x1000 + 85 * 8, 0x2003);
    ram.put<std::uint64_t>(0x2000 + 258 * 8, 0x3003);
    ram.put<std::uint64_t>(0x3000 + 141 * 8, 0x4000'0083);
    auto state = long_mode(0x1000);
    EXPECT_EQ(gpa_of(ram, state, linear), failed(WalkError::not_canonical));
    state.cr4 |= la57;
    EXPECT_EQ(gpa_of(ram, state, linear), 0x4000'0000U | (linear & 0x3FFF'FFFF));
    EXPECT_EQ(gpa_of(ram, state, 0x0100'0000'0000'0000), failed(WalkError::not_canonical));
}

TEST(GuestWalk, PaeAndPageSizes)
{
    Ram ram{0x10000};
    ram.put<std::uint64_t>(0x1020 + 3 * 8, 0x2001); // no W, no U/S in these entries
    ram.put<std::uint64_t>(0x2000 + 5 * 8, 0x3007);
    ram.put<std::uint64_t>(0x3000 + 9 * 8, 0xF'1234'5007ULL);
    ram.put<std::uint64_t>(0x2000 + 6 * 8, 0x9'0020'0087ULL);
    auto const state = protected_mode(0x1020, pae, 3);
    std::uint64_t const base = 3ULL << 30;
    EXPECT_EQ(gpa_of(ram, state, base | 5 << 21 | 9 << 12 | 0x77, WalkAccess::write), 0xF'1234'5077U);
    EXPECT_EQ(gpa_of(ram, state, base | 6 << 21 | 0x1'2345), 0x9'0021'2345U);
    EXPECT_EQ(gpa_of(ram, state, 0), failed(WalkError::not_present));
}

TEST(GuestWalk, ThirtyTwoBit)
{
    Ram ram{0x10000};
    ram.put<std::uint32_t>(0x1000 + 700 * 4, 0x2007);
    ram.put<std::uint32_t>(0x2000 + 33 * 4, 0xABCD'E007);
    ram.put<std::uint32_t>(0x1000 + 701 * 4, 0x00C0'0087 | 0x12 << 13); // PSE-36: bits 39:32 = 12h
    auto state = protected_mode(0x1000, 0);
    EXPECT_EQ(gpa_of(ram, state, 700U << 22 | 33 << 12 | 0x123), 0xABCD'E123U);
    EXPECT_EQ(gpa_of(ram, state, 701U << 22 | 0x12345), failed(WalkError::unreadable)) << "no PSE: a table address";
    state.cr4 = pse;
    EXPECT_EQ(gpa_of(ram, state, 701U << 22 | 0x12345), 0x12'00C1'2345U);
}

TEST(GuestWalk, RightsOfEachLevelCount)
{
    for (unsigned weak = 0; weak < 4; ++weak) {
        Ram ram{0x10000};
        for (unsigned level = 0; level < 4; ++level) {
            std::uint64_t const next = level == 3 ? 0x9000 : 0x2000 + level * 0x1000;
            ram.put<std::uint64_t>(0x1000 + level * 0x1000, next | 7);
        }
        std::uint64_t const entry = 0x1000 + weak * 0x1000;
        std::uint64_t const next = weak == 3 ? 0x9000 : 0x2000 + weak * 0x1000;
        ram.put<std::uint64_t>(entry, next | 5); // not writable
        EXPECT_EQ(gpa_of(ram, long_mode(0x1000, 3), 0), 0x9000U);
        EXPECT_EQ(gpa_of(ram, long_mode(0x1000, 3), 0, WalkAccess::write), failed(WalkError::forbidden));
        EXPECT_EQ(gpa_of(ram, long_mode(0x1000), 0, WalkAccess::write), failed(WalkError::forbidden));
        auto no_wp = long_mode(0x1000);
        no_wp.cr0 &= ~wp;
        EXPECT_EQ(gpa_of(ram, no_wp, 0, WalkAccess::write), 0x9000U);
        ram.put<std::uint64_t>(entry, next | 3); // supervisor
        EXPECT_EQ(gpa_of(ram, long_mode(0x1000), 0, WalkAccess::write), 0x9000U);
        EXPECT_EQ(gpa_of(ram, long_mode(0x1000, 3), 0), failed(WalkError::forbidden));
        ram.put<std::uint64_t>(entry, next | 6);
        EXPECT_EQ(gpa_of(ram, long_mode(0x1000), 0), failed(WalkError::not_present));
    }
}

TEST(GuestWalk, HostileTables)
{
    Ram ram{0x10000};
    ram.put<std::uint64_t>(0x1000, 0x1007); // the table is its own child
    ram.reads = 0;
    EXPECT_EQ(gpa_of(ram, long_mode(0x1000), 0), 0x1000U);
    EXPECT_LE(ram.reads, 4U);
    ram.put<std::uint64_t>(0x1000, 0x000F'FFFF'FFFF'F007ULL);
    EXPECT_EQ(gpa_of(ram, long_mode(0x1000), 0), failed(WalkError::unreadable));
    EXPECT_EQ(gpa_of(ram, long_mode(~0ULL), 0), failed(WalkError::unreadable));
    EXPECT_EQ(gpa_of(ram, protected_mode(~0ULL, pae), 0), failed(WalkError::unreadable));
    EXPECT_EQ(gpa_of(ram, protected_mode(~0ULL, 0), 0), failed(WalkError::unreadable));
    std::mt19937_64 random{7};
    for (unsigned round = 0; round < 20000; ++round) {
        for (unsigned i = 0; i < 16; ++i)
            ram.put<std::uint64_t>(random() % (0x10000 / 8) * 8, random() & (random() % 2 ? ~0ULL : 0xF0FF));
        PagingState state{.cr0 = random() | pg,
                          .cr3 = random() & 0xFFFF,
                          .cr4 = random(),
                          .efer = random(),
                          .rflags = 2,
                          .cs_long = random() % 2 == 0,
                          .cs_default_32 = true,
                          .cpl = 0};
        ram.reads = 0;
        (void)gpa_of(ram, state, random() & 0x7FFF'FFFF);
        ASSERT_LE(ram.reads, 5U);
        std::array<std::byte, 16> bytes{};
        ASSERT_LE(fetch_instruction(ram, state, random(), random(), bytes), 16U);
    }
}

struct TwoPages : ::testing::Test {
    /// Linear 0x3000 -> 0x9000, 0x4000 -> 0x5000 (read-only), 0x5000 -> 0x6000, 0x6000 absent.
    TwoPages()
    {
        ram.put<std::uint64_t>(0x1000, 0x2007);
        ram.put<std::uint64_t>(0x2000, 0x3007);
        ram.put<std::uint64_t>(0x3000, 0x4007);
        ram.put<std::uint64_t>(0x4000 + 3 * 8, 0x9007);
        ram.put<std::uint64_t>(0x4000 + 4 * 8, 0x5005);
        ram.put<std::uint64_t>(0x4000 + 5 * 8, 0x6007);
        ram.put<std::uint64_t>(0x9FF8, 0x0706'0504'0302'0100);
        ram.put<std::uint64_t>(0x5000, 0x0F0E'0D0C'0B0A'0908);
        ram.put<std::uint64_t>(0x6FF8, 0x1716'1514'1312'1110);
    }
    Ram ram{0x10000};
    PagingState state = long_mode(0x1000);
};

TEST_F(TwoPages, ReadsAcrossPages)
{
    std::array<std::byte, 12> bytes{};
    ASSERT_TRUE(read_virtual(ram, state, Gva{0x3FFA}, bytes));
    for (unsigned i = 0; i < bytes.size(); ++i)
        EXPECT_EQ(bytes[i], std::byte(2 + i));
    EXPECT_EQ(read_virtual(ram, state, Gva{0x5FFC}, bytes).error(), WalkError::not_present);
}

TEST_F(TwoPages, WritesAllOrNothing)
{
    std::array<std::byte, 16> const bytes{std::byte{0xAA}, std::byte{0xBB}};
    EXPECT_EQ(write_virtual(ram, state, Gva{0x3FFF}, bytes).error(), WalkError::forbidden);
    EXPECT_EQ(*ram.view(Gpa{0x9FFF}, 1), std::byte{7});
    state.cr0 &= ~wp;
    EXPECT_TRUE(write_virtual(ram, state, Gva{0x3FFF}, bytes));
    EXPECT_EQ(*ram.view(Gpa{0x9FFF}, 1), std::byte{0xAA});
    EXPECT_EQ(*ram.view(Gpa{0x5000}, 1), std::byte{0xBB});
    ram.put<std::uint64_t>(0x4000 + 4 * 8, 0x7FFF'F007);
    EXPECT_EQ(write_virtual(ram, state, Gva{0x3FF8}, bytes).error(), WalkError::unreadable);
    EXPECT_EQ(*ram.view(Gpa{0x9FF8}, 1), std::byte{0});
}

TEST_F(TwoPages, InstructionFetchStopsAtTheUnmappedPage)
{
    std::array<std::byte, 16> bytes{};
    EXPECT_EQ(fetch_instruction(ram, state, 0xDEAD'0000, 0x3FF8, bytes), 16U) << "no CS base in 64-bit mode";
    EXPECT_EQ(bytes[0], std::byte{0});
    EXPECT_EQ(bytes[15], std::byte{15});
    EXPECT_EQ(fetch_instruction(ram, state, 0, 0x5FF8, bytes), 8U);
    EXPECT_EQ(bytes[7], std::byte{0x17});
    EXPECT_EQ(fetch_instruction(ram, state, 0, 0x6000, bytes), 0U);
    state.cs_long = false; // compatibility mode: base counts, 32 bits
    EXPECT_EQ(fetch_instruction(ram, state, 0xFFFF'F000, 0x4FF8, bytes), 16U);
    EXPECT_EQ(bytes[15], std::byte{15});
}

TEST_F(TwoPages, RealModeFetch)
{
    PagingState const real{};
    std::array<std::byte, 16> bytes{};
    EXPECT_EQ(fetch_instruction(ram, real, 0x9000, 0xFF8, bytes), 16U);
    EXPECT_EQ(bytes[7], std::byte{7});
}

} // namespace
} // namespace undercroft::paging
