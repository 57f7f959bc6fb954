// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From bytes to checked messages. Nothing here allocates; the views point into the datagram.
#include <cstdint>
#include <expected>
#include <span>
#include <variant>

#include "collector/ingest/counters.hpp"
#include "collector/ingest/identity.hpp"
#include "wire/datagram.hpp"
#include "wire/memory.hpp"

namespace undercroft::collector {

/// One fragment of a slot, fields within their documented ranges.
struct DataFragment {
    wire::Stream stream{};
    std::uint64_t counter{};
    std::uint64_t first_sequence{};
    std::uint32_t count{};
    std::uint64_t slot{};
    std::uint64_t oldest_slot{};
    std::uint32_t slot_bytes{};
    std::uint32_t offset{};
    std::uint16_t index{};
    std::uint16_t fragments{};
    std::span<std::uint8_t const> bytes;
};

struct HelloMessage {
    std::uint64_t counter{};
    wire::HelloBody body;
    std::span<std::uint8_t const> disks; ///< whole DiskInfo entries, body.disks of them
};

struct StatusMessage {
    std::uint64_t counter{};
    wire::StatusBody body;
    std::span<std::uint8_t const> counters; ///< whole Counter entries
};

struct AnswerMessage {
    wire::AnswerBody body;
    std::span<std::uint8_t const> states; ///< whole MemoryStatus entries, at most memory_modes
};

using Message = std::variant<DataFragment, HelloMessage, StatusMessage, AnswerMessage>;

/// What can be said before the seal is verified: sizes, magic, version, type.
[[nodiscard]] std::expected<wire::DatagramHeader, Counter> check_header(std::span<std::uint8_t const> datagram);

/// Checks every field of an opened datagram (header | plaintext | tag).
[[nodiscard]] std::expected<Message, Counter> decode(std::span<std::uint8_t const> datagram);

[[nodiscard]] BootKey boot_key_of(wire::DatagramHeader const& header);

} // namespace undercroft::collector
