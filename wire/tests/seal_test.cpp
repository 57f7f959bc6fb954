// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "wire/seal.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace undercroft::wire {
namespace {

std::vector<std::uint8_t> make_datagram(std::string_view text)
{
    DatagramHeader header{};
    header.magic = datagram_magic;
    header.version = datagram_version;
    header.type = static_cast<std::uint8_t>(Type::data);
    header.counter = std::uint64_t{7};
    header.sealed_bytes = static_cast<std::uint32_t>(text.size());
    std::vector<std::uint8_t> bytes(datagram_overhead + text.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), text.data(), text.size());
    return bytes;
}

Key test_key()
{
    Key key{};
    for (std::size_t i = 0; i < key.size(); ++i)
        key[i] = static_cast<std::uint8_t>(i);
    return key;
}

TEST(Seal, OpensWhatItSealed)
{
    auto bytes = make_datagram("the quick brown fox");
    seal(test_key(), bytes);
    EXPECT_NE(0, std::memcmp(bytes.data() + sizeof(DatagramHeader), "the quick", 9));
    ASSERT_TRUE(open(test_key(), bytes));
    EXPECT_EQ(0, std::memcmp(bytes.data() + sizeof(DatagramHeader), "the quick brown fox", 19));
}

TEST(Seal, AnyFlippedBitIsRefused)
{
    auto sealed = make_datagram("0123456789abcdef0123456789abcdef0");
    seal(test_key(), sealed);
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
        auto copy = sealed;
        copy[bit / 8] = static_cast<std::uint8_t>(copy[bit / 8] ^ (1U << (bit % 8)));
        EXPECT_FALSE(open(test_key(), copy)) << "bit " << bit;
    }
}

TEST(Seal, ShortAndWrongLengthAreRefused)
{
    auto sealed = make_datagram("abc");
    seal(test_key(), sealed);
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        std::vector<std::uint8_t> cut(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_FALSE(open(test_key(), cut));
    }
}

TEST(Seal, EachInputOfTheDerivationChangesTheKey)
{
    std::array<std::uint8_t, 16> machine{1}, boot{2}, other{3};
    Key const base = derive_key(test_key(), Direction::from_sensor, machine, boot, 0);
    EXPECT_NE(base, derive_key(test_key(), Direction::from_collector, machine, boot, 0));
    EXPECT_NE(base, derive_key(test_key(), Direction::from_sensor, other, boot, 0));
    EXPECT_NE(base, derive_key(test_key(), Direction::from_sensor, machine, other, 0));
    EXPECT_NE(base, derive_key(test_key(), Direction::from_sensor, machine, boot, 1));
    EXPECT_NE(base, derive_key(Key{}, Direction::from_sensor, machine, boot, 0));
}

} // namespace
} // namespace undercroft::wire
