// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "wire/aead.hpp"

#include <bearssl.h>

namespace undercroft::wire {
namespace {

Tag run(Key const& key, AeadNonce const& nonce, std::span<std::uint8_t const> clear, std::span<std::uint8_t> text,
        int encrypt)
{
    Tag tag;
    br_poly1305_ctmulq_run(key.data(), nonce.data(), text.data(), text.size(), clear.data(), clear.size(), tag.data(),
                           &br_chacha20_ct_run, encrypt);
    return tag;
}

} // namespace

Tag aead_seal(Key const& key, AeadNonce const& nonce, std::span<std::uint8_t const> clear, std::span<std::uint8_t> text)
{
    return run(key, nonce, clear, text, 1);
}

bool aead_open(Key const& key, AeadNonce const& nonce, std::span<std::uint8_t const> clear,
               std::span<std::uint8_t> text, std::span<std::uint8_t const, tag_bytes> tag)
{
    Tag const expected = run(key, nonce, clear, text, 0);
    std::uint8_t difference = 0;
    for (std::size_t i = 0; i < tag_bytes; ++i)
        difference |= static_cast<std::uint8_t>(expected[i] ^ tag[i]);
    return difference == 0;
}

} // namespace undercroft::wire
