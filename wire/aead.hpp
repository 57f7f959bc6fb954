// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// ChaCha20-Poly1305 (RFC 8439) in place, with everything given: what datagrams and control messages are sealed with.
#include <array>
#include <cstdint>
#include <span>

#include "wire/datagram.hpp"

namespace undercroft::wire {

using Key = std::array<std::uint8_t, key_bytes>;
using AeadNonce = std::array<std::uint8_t, 12>;
using Tag = std::array<std::uint8_t, tag_bytes>;

/// Encrypts `text` in place; the tag covers `clear` too. Never use a nonce twice with one key.
[[nodiscard]] Tag aead_seal(Key const& key, AeadNonce const& nonce, std::span<std::uint8_t const> clear,
                            std::span<std::uint8_t> text);

/// Decrypts in place. False when the tag does not verify; `text` is then garbage. The time taken depends on sizes only.
[[nodiscard]] bool aead_open(Key const& key, AeadNonce const& nonce, std::span<std::uint8_t const> clear,
                             std::span<std::uint8_t> text, std::span<std::uint8_t const, tag_bytes> tag);

} // namespace undercroft::wire
