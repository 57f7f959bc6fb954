// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Slots and fragments for tests.
#include <cstring>
#include <vector>

#include "collector/ingest/decode.hpp"
#include "collector/ingest/slot.hpp"

namespace undercroft::collector::test {

inline constexpr BootKey boot_a{{0xAA, 1}, {0xB0, 7}};

/// Every third record is a write with 512 bytes of content that depend on `sequence % 5`.
inline std::vector<std::uint8_t> slot_bytes(std::uint64_t first_sequence, std::uint32_t count)
{
    std::vector<std::uint8_t> bytes;
    for (std::uint64_t sequence = first_sequence; sequence < first_sequence + count; ++sequence) {
        bool const write = sequence % 3 == 0;
        wire::Record record{};
        record.time_utc_ns = 1'700'000'000'000'000'000 + sequence;
        record.address = sequence * 8;
        record.length = std::uint32_t{512};
        record.kind = static_cast<std::uint8_t>(write ? wire::Kind::storage_write : wire::Kind::storage_read);
        record.flags = write ? wire::record_flag::has_content : std::uint16_t{0};
        record.content_bytes = write ? std::uint32_t{512} : std::uint32_t{0};
        auto const* const raw = reinterpret_cast<std::uint8_t const*>(&record);
        bytes.insert(bytes.end(), raw, raw + sizeof(record));
        if (write)
            bytes.insert(bytes.end(), 512, static_cast<std::uint8_t>(sequence % 5));
    }
    return bytes;
}

/// A slot cut into `fragments` nearly equal pieces. `bytes` must outlive them.
inline std::vector<DataFragment> cut(std::vector<std::uint8_t> const& bytes, std::uint64_t slot,
                                     std::uint64_t first_sequence, std::uint32_t count, std::uint16_t fragments,
                                     std::uint64_t counter = 1)
{
    std::vector<DataFragment> pieces;
    for (std::uint16_t i = 0; i < fragments; ++i) {
        std::size_t const from = bytes.size() * i / fragments;
        std::size_t const to = bytes.size() * (i + 1U) / fragments;
        DataFragment data;
        data.stream = wire::Stream::storage;
        data.counter = counter++;
        data.first_sequence = first_sequence;
        data.count = count;
        data.slot = slot;
        data.slot_bytes = static_cast<std::uint32_t>(bytes.size());
        data.offset = static_cast<std::uint32_t>(from);
        data.index = i;
        data.fragments = fragments;
        data.bytes = std::span{bytes}.subspan(from, to - from);
        pieces.push_back(data);
    }
    return pieces;
}

} // namespace undercroft::collector::test
