// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "wire/aead.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace undercroft::wire {
namespace {

/// RFC 8439, 2.8.2.
constexpr std::string_view rfc_text = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
                                      "the future, sunscreen would be it.";
constexpr std::uint8_t rfc_clear[] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
constexpr AeadNonce rfc_nonce = {0x07, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47};
constexpr Tag rfc_tag = {0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a,
                         0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91};
constexpr std::uint8_t rfc_cipher_start[] = {0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb,
                                             0x7b, 0x86, 0xaf, 0xbc, 0x53, 0xef, 0x7e, 0xc2};

Key rfc_key()
{
    Key key{};
    for (std::size_t i = 0; i < key.size(); ++i)
        key[i] = static_cast<std::uint8_t>(0x80 + i);
    return key;
}

TEST(Aead, AgreesWithRfc8439)
{
    std::vector<std::uint8_t> text(rfc_text.begin(), rfc_text.end());
    EXPECT_EQ(rfc_tag, aead_seal(rfc_key(), rfc_nonce, rfc_clear, text));
    EXPECT_EQ(0, std::memcmp(text.data(), rfc_cipher_start, sizeof(rfc_cipher_start)));
    ASSERT_TRUE(aead_open(rfc_key(), rfc_nonce, rfc_clear, text, rfc_tag));
    EXPECT_EQ(rfc_text, std::string_view(reinterpret_cast<char*>(text.data()), text.size()));
}

TEST(Aead, EveryInputIsCovered)
{
    std::vector<std::uint8_t> sealed(rfc_text.begin(), rfc_text.end());
    (void)aead_seal(rfc_key(), rfc_nonce, rfc_clear, sealed);
    auto const opens = [&](Key const& key, AeadNonce const& nonce, std::vector<std::uint8_t> const& clear,
                           Tag const& tag) {
        auto copy = sealed;
        return aead_open(key, nonce, clear, copy, tag);
    };
    std::vector<std::uint8_t> const clear(std::begin(rfc_clear), std::end(rfc_clear));
    ASSERT_TRUE(opens(rfc_key(), rfc_nonce, clear, rfc_tag));
    Key key = rfc_key();
    key[31] ^= 1;
    EXPECT_FALSE(opens(key, rfc_nonce, clear, rfc_tag));
    AeadNonce nonce = rfc_nonce;
    nonce[11] ^= 1;
    EXPECT_FALSE(opens(rfc_key(), nonce, clear, rfc_tag));
    auto other = clear;
    other[0] ^= 1;
    EXPECT_FALSE(opens(rfc_key(), rfc_nonce, other, rfc_tag));
    Tag tag = rfc_tag;
    tag[15] ^= 0x80;
    EXPECT_FALSE(opens(rfc_key(), rfc_nonce, clear, tag));
}

} // namespace
} // namespace undercroft::wire
