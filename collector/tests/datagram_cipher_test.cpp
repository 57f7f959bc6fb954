// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The fast cipher against the sensor's own implementation, both ways.
#include "collector/receive/datagram_cipher.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "wire/seal.hpp"

namespace undercroft::collector {
namespace {

std::vector<std::uint8_t> plain_datagram(std::size_t sealed, std::uint64_t counter)
{
    std::vector<std::uint8_t> datagram(wire::datagram_overhead + sealed);
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.counter = counter;
    header.sealed_bytes = static_cast<std::uint32_t>(sealed);
    std::memcpy(datagram.data(), &header, sizeof(header));
    for (std::size_t i = 0; i < sealed; ++i)
        datagram[sizeof(header) + i] = static_cast<std::uint8_t>(i * 7 + counter);
    return datagram;
}

TEST(DatagramCipher, UnderstandsTheSensorAndIsUnderstood)
{
    wire::Key const key{1, 2, 3, 4};
    DatagramCipher opening{key, DatagramCipher::Use::open};
    DatagramCipher sealing{key, DatagramCipher::Use::seal};
    std::uint64_t counter = 0xFFFFFFFF0ULL;
    for (std::size_t const sealed : {0U, 1U, 15U, 16U, 17U, 63U, 64U, 65U, 1384U, 8192U, 65419U}) {
        auto const plain = plain_datagram(sealed, ++counter);
        auto theirs = plain;
        wire::seal(key, theirs);
        auto ours = plain;
        sealing.seal(ours);
        EXPECT_EQ(ours, theirs) << sealed;
        ASSERT_TRUE(opening.open(ours)) << sealed;
        EXPECT_TRUE(std::equal(plain.begin(), plain.end() - wire::tag_bytes, ours.begin())) << sealed;
    }
}

TEST(DatagramCipher, EveryChangedBitIsNoticedAndDoesNotSpoilTheNext)
{
    wire::Key const key{9};
    DatagramCipher opening{key, DatagramCipher::Use::open};
    auto good = plain_datagram(40, 3);
    wire::seal(key, good);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        auto bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
        EXPECT_FALSE(opening.open(bad)) << bit;
        auto again = good;
        ASSERT_TRUE(opening.open(again)) << bit;
    }
    opening.use_key({8});
    auto foreign = good;
    EXPECT_FALSE(opening.open(foreign));
    opening.use_key(key);
    EXPECT_TRUE(opening.open(good));
    std::vector<std::uint8_t> tiny(wire::datagram_overhead - 1);
    EXPECT_FALSE(opening.open(tiny));
}

} // namespace
} // namespace undercroft::collector
