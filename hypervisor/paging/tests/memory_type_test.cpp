// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/paging/memory_type.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace undercroft::paging {
namespace {

using enum MemoryType;
constexpr std::uint64_t mib = 1ULL << 20, gib = 1ULL << 30;
constexpr std::uint64_t enable = 1U << 11, fixed_enable = 1U << 10, has_fixed = 1U << 8, valid = 1U << 11;

MtrrRegisters registers(std::vector<MtrrRegisters::Variable> const& variable, std::uint64_t default_type = enable)
{
    MtrrRegisters r;
    r.capability = has_fixed | variable.size();
    r.default_type = default_type;
    std::ranges::copy(variable, r.variable.begin());
    return r;
}
std::vector<TypedRange> ranges(MtrrMap const& map, std::uint64_t begin, std::uint64_t end)
{
    std::vector<TypedRange> result;
    map.for_each(begin, end, [&](TypedRange r) { result.push_back(r); });
    return result;
}

/// Intel SDM vol. 3A, example 12-2 ("Setting-Up Memory for a System"): 36-bit addresses.
std::vector<MtrrRegisters::Variable> const manuals_example{
    {0x0000'0000'0000'0006, 0x0000'000F'FC00'0800}, {0x0000'0000'0400'0006, 0x0000'000F'FE00'0800},
    {0x0000'0000'0600'0006, 0x0000'000F'FFC0'0800}, {0x0000'0000'0400'0000, 0x0000'000F'FFC0'0800},
    {0x0000'0000'00F0'0000, 0x0000'000F'FFF0'0800}, {0x0000'0000'A000'0001, 0x0000'000F'FF80'0800}};
/// 12.11.3.1: the same system with 40-bit addresses.
std::vector<MtrrRegisters::Variable> const manuals_example_40{
    {0x0000'0000'0000'0006, 0x0000'00FF'FC00'0800}, {0x0000'0000'0400'0006, 0x0000'00FF'FE00'0800},
    {0x0000'0000'0600'0006, 0x0000'00FF'FFC0'0800}, {0x0000'0000'0400'0000, 0x0000'00FF'FFC0'0800},
    {0x0000'0000'00F0'0000, 0x0000'00FF'FFF0'0800}, {0x0000'0000'A000'0001, 0x0000'00FF'FF80'0800}};

TEST(Mtrr, TheManualsExample)
{
    for (auto const& [example, bits] : {std::pair{&manuals_example, 36U}, {&manuals_example_40, 40U}}) {
        auto const r = registers(*example);
        MtrrMap const map{r, bits};
        // "96 MBytes WB from 0 to 64 and 68 to 100 MBytes, 4 MBytes UC at 64, BIOS area 15-16
        // MBytes UC, 8 MBytes WC at A0000000H", the rest by the default type.
        std::vector<TypedRange> const expected{{0, 15 * mib, write_back},
                                               {15 * mib, 16 * mib, uncacheable},
                                               {16 * mib, 64 * mib, write_back},
                                               {64 * mib, 68 * mib, uncacheable},
                                               {68 * mib, 100 * mib, write_back},
                                               {100 * mib, 0xA000'0000, uncacheable},
                                               {0xA000'0000, 0xA080'0000, write_combining},
                                               {0xA080'0000, 1ULL << bits, uncacheable}};
        EXPECT_EQ(ranges(map, 0, 1ULL << bits), expected) << bits;
        EXPECT_EQ(map.type_of(68 * mib, 100 * mib), write_back);
        EXPECT_EQ(map.type_of(60 * mib, 65 * mib), std::nullopt);
    }
}

TEST(Mtrr, BaseAndMaskOfTheManualsText)
{
    // 12.11.3: 200000H-3FFFFFH and 400000H-7FFFFFH.
    auto const r = registers({{0x20'0006, 0xF'FFE0'0800}, {0x40'0004, 0xF'FFC0'0800}});
    EXPECT_EQ(ranges(MtrrMap{r, 36}, 0, 16 * mib), (std::vector<TypedRange>{{0, 2 * mib, uncacheable},
                                                                            {2 * mib, 4 * mib, write_back},
                                                                            {4 * mib, 8 * mib, write_through},
                                                                            {8 * mib, 16 * mib, uncacheable}}));
}

TEST(Mtrr, DisabledMeansUncacheable)
{
    auto const r = registers(manuals_example, 6);
    EXPECT_EQ(ranges(MtrrMap{r, 36}, 0, gib), (std::vector<TypedRange>{{0, gib, uncacheable}}));
}

TEST(Mtrr, OverlapsAfterTheManualsRules)
{
    // 12.11.4.1: UC wins, WT over WB, equal types; the rest is undefined.
    struct Case {
        MemoryType a, b, result;
    };
    for (Case const c : {Case{write_back, uncacheable, uncacheable},
                         {write_through, write_back, write_through},
                         {write_back, write_through, write_through},
                         {write_combining, write_combining, write_combining},
                         {uncacheable, write_combining, uncacheable},
                         {write_combining, write_back, uncacheable}}) {
        auto const r = registers({{static_cast<std::uint64_t>(c.a), 0xF'FF00'0000 | valid},
                                  {static_cast<std::uint64_t>(c.b), 0xF'FFF0'0000 | valid}},
                                 enable | 6);
        EXPECT_EQ((MtrrMap{r, 36}.type_at(0x5000)), c.result);
        EXPECT_EQ((MtrrMap{r, 36}.type_at(2 * mib)), c.a);
        EXPECT_EQ((MtrrMap{r, 36}.type_at(16 * mib)), write_back) << "the default type";
    }
}

TEST(Mtrr, FixedRangesFirst)
{
    // Table 12-9: 64 KiB to 80000h, 16 KiB to C0000h, 4 KiB to 100000h.
    auto r = registers({{6, 0xF'FF00'0000 | valid}}, enable | fixed_enable);
    r.fixed = {0x0606'0606'0606'0606,
               0x0606'0606'0606'0606,
               0x0000'0000'0101'0000,
               0x0505'0505'0505'0505,
               0,
               0,
               0,
               0x0400'0000'0000'0000,
               0,
               0,
               0x1E1E'1E1E'1E1E'1E1E};
    MtrrMap const map{r, 36};
    EXPECT_EQ(ranges(map, 0, 32 * mib),
              (std::vector<TypedRange>{{0, 0xA0000, write_back},
                                       {0xA0000, 0xA8000, uncacheable},
                                       {0xA8000, 0xB0000, write_combining},
                                       {0xB0000, 0xC0000, uncacheable},
                                       {0xC0000, 0xC8000, write_protected},
                                       {0xC8000, 0xE7000, uncacheable},
                                       {0xE7000, 0xE8000, write_through},
                                       {0xE8000, 0xF8000, uncacheable},
                                       {0xF8000, 16 * mib, write_back}, // 1Eh: AMD's RdMem, WrMem set
                                       {16 * mib, 32 * mib, uncacheable}}));
    r.default_type = enable; // FE clear
    EXPECT_EQ(map.type_at(0xA8000), write_back);
    r.default_type = enable | fixed_enable;
    r.capability &= ~has_fixed;
    EXPECT_EQ(map.type_at(0xA8000), write_back);
}

TEST(Mtrr, HighAddressesAndManyRegisters)
{
    // A board with 6 GiB: WB 0-4 GiB and 4-8 GiB, UC 3-4 GiB and 7-8 GiB; 46-bit addresses.
    std::uint64_t const top = (1ULL << 46) - 1;
    auto const mask = [&](std::uint64_t bytes) { return (top & ~(bytes - 1)) | valid; };
    std::vector<MtrrRegisters::Variable> v{
        {6, mask(4 * gib)},   {4 * gib | 6, mask(4 * gib)},         {3 * gib, mask(gib)},
        {7 * gib, mask(gib)}, {(1ULL << 45) | 6, mask(1ULL << 40)}, {0x1234'0006, mask(0x1000) & ~valid}};
    v.resize(20);
    auto const r = registers(v);
    EXPECT_EQ(ranges(MtrrMap{r, 46}, 0, 1ULL << 46),
              (std::vector<TypedRange>{{0, 3 * gib, write_back},
                                       {3 * gib, 4 * gib, uncacheable},
                                       {4 * gib, 7 * gib, write_back},
                                       {7 * gib, 1ULL << 45, uncacheable},
                                       {1ULL << 45, (1ULL << 45) + (1ULL << 40), write_back},
                                       {(1ULL << 45) + (1ULL << 40), 1ULL << 46, uncacheable}}));
    auto const wide = registers({{(1ULL << 51) | 6, 0x000F'FFFF'FFFF'F800}});
    EXPECT_EQ((MtrrMap{wide, 52}.type_of(1ULL << 51, (1ULL << 51) + 0x1000)), write_back);
}

TEST(Mtrr, RangesAgreeWithEachPage)
{
    // Random registers, discontinuous masks (12.11.2.3) among them, against type_at() page by page.
    std::mt19937_64 random{3};
    for (unsigned round = 0; round < 200; ++round) {
        std::vector<MtrrRegisters::Variable> v;
        for (unsigned i = 0; i < 1 + random() % 8; ++i) {
            std::uint64_t mask = (~0ULL << (12 + random() % 12)) & 0xFF'FFFF;
            if (random() % 3 == 0)
                mask &= random() | random();
            v.push_back({(random() & 0xFF'F000) | (random() % 8), (mask & 0xFF'F000) | (random() % 8 ? valid : 0)});
        }
        auto r = registers(v, (random() & 0xC07) | (random() % 4 ? enable : 0));
        for (auto& f : r.fixed)
            f = random();
        MtrrMap const map{r, 24};
        std::uint64_t at = 0;
        MemoryType last{};
        map.for_each(0, 16 * mib, [&](TypedRange range) {
            ASSERT_EQ(range.begin, at);
            ASSERT_GT(range.end, range.begin);
            if (at != 0) {
                ASSERT_NE(range.type, last);
            }
            for (; at < range.end; at += 0x1000)
                ASSERT_EQ(map.type_at(at), range.type) << std::hex << at;
            last = range.type;
        });
        ASSERT_EQ(at, 16 * mib);
    }
}

TEST(Mtrr, ReadsWhatTheProcessorHas)
{
    std::map<std::uint32_t, std::uint64_t> msrs{{0xFE, has_fixed | 2}, {0x2FF, enable | 6}};
    for (std::uint32_t msr : {0x250U, 0x258U, 0x259U, 0x268U, 0x269U, 0x26AU, 0x26BU, 0x26CU, 0x26DU, 0x26EU, 0x26FU,
                              0x200U, 0x201U, 0x202U, 0x203U})
        msrs[msr] = msr;
    MtrrRegisters r;
    std::set<std::uint32_t> seen;
    auto const read = [&](std::uint32_t msr) {
        seen.insert(msr);
        return msrs.at(msr); // an MSR that does not exist would be a #GP
    };
    read_mtrrs(read, r);
    EXPECT_EQ(seen.size(), msrs.size());
    EXPECT_EQ(r.fixed[0], 0x250U);
    EXPECT_EQ(r.fixed[10], 0x26FU);
    EXPECT_EQ(r.variable[1].base, 0x202U);
    EXPECT_EQ(r.variable[1].mask, 0x203U);
    msrs = {{0xFE, 0}, {0x2FF, 0}};
    read_mtrrs(read, r);
    EXPECT_EQ(r.variable_count(), 0U);
}

TEST(Pat, AfterReset)
{
    // SDM vol. 3A, table 12-12.
    MemoryType const expected[] = {write_back, write_through, uncached_minus, uncacheable};
    for (unsigned i = 0; i < 8; ++i)
        EXPECT_EQ(pat_type(pat_after_reset, i), expected[i % 4]) << i;
    EXPECT_EQ(pat_type(0x0105'0000'0000'0000, 7), write_combining);
    EXPECT_EQ(pat_type(0x0105'0000'0000'0000, 6), write_protected);
}

TEST(Pat, EffectiveTypesOfTheManualsTable)
{
    // SDM vol. 3A, table 12-7 (11-7 before 2022), row by row.
    MemoryType const pats[] = {uncacheable,   uncached_minus, write_combining,
                               write_through, write_back,     write_protected};
    struct Row {
        MemoryType mtrr;
        MemoryType effective[6];
    };
    Row const table[] = {
        {uncacheable, {uncacheable, uncacheable, write_combining, uncacheable, uncacheable, uncacheable}},
        {write_combining, {uncacheable, write_combining, write_combining, uncacheable, write_combining, uncacheable}},
        {write_through, {uncacheable, uncacheable, write_combining, write_through, write_through, write_protected}},
        {write_back, {uncacheable, uncacheable, write_combining, write_through, write_back, write_protected}},
        {write_protected,
         {uncacheable, write_combining, write_combining, write_through, write_protected, write_protected}},
    };
    for (auto const& row : table)
        for (unsigned i = 0; i < 6; ++i)
            EXPECT_EQ(effective_type(row.mtrr, pats[i]), row.effective[i])
                << static_cast<int>(row.mtrr) << " under PAT " << static_cast<int>(pats[i]);
}

} // namespace
} // namespace undercroft::paging
