// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// AEAD and key derivation (BearSSL; the same code freestanding and hosted).
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/aead.hpp"
#include "wire/datagram.hpp"

namespace undercroft::wire {

enum class Direction : std::uint8_t { from_sensor = 's', from_collector = 'c' };

/// Derives the key of one direction, boot and collector instance (see datagram.hpp).
[[nodiscard]] Key derive_key(Key const& pre_shared, Direction direction, std::span<std::uint8_t const, 16> machine_id,
                             std::span<std::uint8_t const, 16> boot_id, std::uint64_t instance);

/// Seals in place. `datagram` = header (complete, sealed_bytes set) | plaintext | room for the tag.
/// Its size must be sizeof(DatagramHeader) + sealed_bytes + tag_bytes.
void seal(Key const& key, std::span<std::uint8_t> datagram);

/// Checks size fields and tag and decrypts in place. False: leave it alone, count it.
/// On success the plaintext is at datagram[sizeof(DatagramHeader) .. +sealed_bytes).
[[nodiscard]] bool open(Key const& key, std::span<std::uint8_t> datagram);

} // namespace undercroft::wire
