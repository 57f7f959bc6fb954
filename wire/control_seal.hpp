// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Sealing of control messages (wire/control.hpp), for both ends.
#include "wire/aead.hpp"
#include "wire/control.hpp"

namespace undercroft::wire {

using BootId = std::array<std::uint8_t, 16>;

/// \p boot_id is all zero for the requests of `hello`.
[[nodiscard]] Key derive_control_key(Key const& control_key, ControlKind kind, BootId const& boot_id);

/// The nonce of an answer.
[[nodiscard]] AeadNonce control_answer_nonce(std::uint64_t counter);

/// Seals in place: ControlHeader (complete) | plaintext | room for the tag, exactly.
void seal_control(Key const& key, std::span<std::uint8_t> message);

/// The message at the start of `buffer`: its size from the header's fields. 0: not a message of this kind and
/// version, or longer than the buffer.
[[nodiscard]] std::size_t control_message_bytes(std::span<std::uint8_t const> buffer, ControlKind kind);

/// Checks the tag and decrypts in place; `message` is exactly control_message_bytes long.
[[nodiscard]] bool open_control(Key const& key, std::span<std::uint8_t> message);

} // namespace undercroft::wire
