// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Against Shannon's formula in double precision.
#include "hypervisor/observe/entropy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "hypervisor/observe/entropy_memo.hpp"
#include "hypervisor/observe/log_table.hpp"

namespace undercroft::observe {
namespace {

using Block = std::vector<std::byte>;

double reference(Block const& block)
{
    double counts[256]{};
    for (std::byte b : block)
        counts[static_cast<unsigned>(b)] += 1;
    double bits = 0;
    for (double n : counts)
        if (n > 0)
            bits -= n / static_cast<double>(block.size()) * std::log2(n / static_cast<double>(block.size()));
    return bits / 8 * 65535;
}

void expect_right(Block const& block)
{
    EXPECT_NEAR(entropy(block.data(), block.size()), reference(block), 1.0) << block.size();
}

Block random_block(std::size_t bytes, unsigned values, std::uint32_t seed)
{
    std::mt19937 random{seed};
    Block block(bytes);
    for (std::byte& b : block)
        b = static_cast<std::byte>(random() % values);
    return block;
}

Block text_block(std::size_t bytes)
{
    constexpr char text[] = "Whan that Aprille with his shoures soote, the droghte of March hath perced to the roote. ";
    Block block(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        block[i] = static_cast<std::byte>(text[(i + i / 300) % (sizeof(text) - 1)]);
    return block;
}

TEST(Entropy, KnownValues)
{
    EXPECT_EQ(entropy(Block(4096).data(), 4096), 0U);
    EXPECT_EQ(entropy(Block(4096, std::byte{0xff}).data(), 4096), 0U);
    Block uniform(4096);
    for (std::size_t i = 0; i < uniform.size(); ++i)
        uniform[i] = static_cast<std::byte>(i);
    EXPECT_EQ(entropy(uniform.data(), 4096), 65535U);
    Block halves(4096);
    std::fill_n(halves.begin(), 2048, std::byte{1});
    EXPECT_EQ(entropy(halves.data(), 4096), 8192U) << "one bit of eight: 8191.875";
    EXPECT_EQ(entropy(uniform.data(), 0), 0U);
}

TEST(Entropy, RandomBlocksOfAllAlphabets)
{
    for (unsigned values : {1U, 2U, 3U, 5U, 16U, 17U, 100U, 255U, 256U})
        for (std::uint32_t seed = 0; seed < 40; ++seed)
            expect_right(random_block(4096, values, seed));
}

TEST(Entropy, EveryLength)
{
    for (std::size_t bytes = 1; bytes <= 4096; bytes += bytes < 70 ? 1 : 61) {
        expect_right(random_block(bytes, 256, static_cast<std::uint32_t>(bytes)));
        expect_right(random_block(bytes, 3, static_cast<std::uint32_t>(bytes)));
        expect_right(text_block(bytes));
    }
}

TEST(Entropy, RepeatedWords)
{
    for (std::uint64_t word :
         {0ULL, 1ULL, 0x0101010101010101ULL, 0x0102030405060708ULL, 0xff00ff00ff00ff00ULL, 0x1122112211221133ULL})
        for (std::size_t bytes : {512U, 1024U, 4096U, 40U}) {
            Block block(bytes);
            for (std::size_t i = 0; i < bytes; i += 8)
                std::memcpy(block.data() + i, &word, 8);
            expect_right(block);
            for (std::size_t changed : {std::size_t{0}, bytes / 2 + 3, bytes - 1}) { // nearly a pattern
                Block other = block;
                other[changed] ^= std::byte{0x40};
                expect_right(other);
            }
        }
}

TEST(Entropy, UnalignedBlock)
{
    Block block = random_block(4096 + 7, 200, 5);
    Block const inner{block.begin() + 3, block.begin() + 3 + 4096};
    EXPECT_NEAR(entropy(block.data() + 3, 4096), reference(inner), 1.0);
}

TEST(Entropy, TableIsNLog2N)
{
    constexpr LogTable table = make_log_table();
    EXPECT_EQ(table[0], 0U);
    for (std::size_t n = 1; n < table.size(); ++n) {
        double const exact = static_cast<double>(n) * std::log2(static_cast<double>(n)) * 65536.0;
        EXPECT_NEAR(table[n], exact, 0.75) << n;
    }
}

TEST(EntropyMemo, SameAnswersAndHitsForRepeats)
{
    auto const memo = std::make_unique<EntropyMemo>(0x1d872b41f0c35a99);
    for (int round = 0; round < 3; ++round)
        for (std::uint32_t seed = 0; seed < 50; ++seed) {
            Block const block = random_block(4096, 2 + seed * 5, seed);
            EXPECT_EQ(memo->entropy(block.data(), block.size()), entropy(block.data(), block.size()));
        }
    EXPECT_EQ(memo->hits(), 100U);
}

TEST(EntropyMemo, OneChangedBitIsAnotherBlock)
{
    auto const memo = std::make_unique<EntropyMemo>(7);
    Block block = random_block(4096, 256, 1);
    static_cast<void>(memo->entropy(block.data(), block.size()));
    for (std::size_t i = 0; i < 4096; i += 37) {
        Block other = block;
        other[i] ^= std::byte{1};
        EXPECT_EQ(memo->entropy(other.data(), 4096), entropy(other.data(), 4096));
    }
    EXPECT_EQ(memo->hits(), 0U);
}

TEST(EntropyMemo, ColdMemoWarmsUpAgain)
{
    auto const memo = std::make_unique<EntropyMemo>(9);
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        Block const block = random_block(4096, 256, seed);
        static_cast<void>(memo->entropy(block.data(), 4096));
    }
    EXPECT_EQ(memo->hits(), 0U);
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        Block const block = random_block(4096, 256, seed);
        EXPECT_EQ(memo->entropy(block.data(), 4096), entropy(block.data(), 4096));
    }
    EXPECT_GE(memo->hits(), 280U);
}

TEST(EntropyMemo, OneRepeatedBlockIsFoundByAColdMemo)
{
    auto const memo = std::make_unique<EntropyMemo>(9);
    for (std::uint32_t seed = 0; seed < 100; ++seed)
        static_cast<void>(memo->entropy(random_block(4096, 256, seed).data(), 4096));
    Block const block = random_block(4096, 256, 1000);
    for (int i = 0; i < 100; ++i)
        static_cast<void>(memo->entropy(block.data(), 4096));
    EXPECT_GE(memo->hits(), 91U);
}

TEST(EntropyMemo, ShortBlocksAndPatternsAreNotKept)
{
    auto const memo = std::make_unique<EntropyMemo>(9);
    Block const small = random_block(512, 256, 1);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(memo->entropy(small.data(), 512), entropy(small.data(), 512));
        EXPECT_EQ(memo->entropy(Block(4096).data(), 4096), 0U);
    }
    EXPECT_EQ(memo->hits(), 0U);
}

} // namespace
} // namespace undercroft::observe
