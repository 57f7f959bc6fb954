// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Slots and fragments for tests.
#include <cstring>
#include <vector>

#include "collector/ingest/decode.hpp"
#include "collector/ingest/slot.hpp"
#include "wire/memory.hpp"

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

inline void append_record(std::vector<std::uint8_t>& bytes, wire::Record record, std::span<std::uint8_t const> content)
{
    record.time_utc_ns = std::uint64_t{1'700'000'000'000'000'000};
    record.content_bytes = static_cast<std::uint32_t>(content.size());
    if (!content.empty())
        record.flags = static_cast<std::uint16_t>(record.flags.get() | wire::record_flag::has_content);
    auto const* const raw = reinterpret_cast<std::uint8_t const*>(&record);
    bytes.insert(bytes.end(), raw, raw + sizeof(record));
    bytes.insert(bytes.end(), content.begin(), content.end());
}

inline wire::Record memory_record(wire::Kind kind, std::uint64_t address, std::uint32_t length,
                                  std::uint16_t source = 0)
{
    wire::Record record{};
    record.kind = static_cast<std::uint8_t>(kind);
    record.address = address;
    record.length = length;
    record.source = source;
    return record;
}

/// A mode's start, one region, a page with content, a page of zeros, a write: five records of the memory stream.
inline std::vector<std::uint8_t> memory_slot_bytes()
{
    wire::MemoryRequest request{};
    request.mode = static_cast<std::uint16_t>(wire::MemoryMode::snapshot);
    request.action = static_cast<std::uint16_t>(wire::MemoryAction::start);
    request.flags = static_cast<std::uint16_t>(wire::memory_flag::consistent | 1U << 14);
    request.range_begin = std::uint64_t{1} << 40;
    request.rate_kib_per_s = std::uint32_t{4096};
    auto const* const raw = reinterpret_cast<std::uint8_t const*>(&request);
    std::vector<std::uint8_t> bytes;
    append_record(bytes, memory_record(wire::Kind::memory_mode, 0, sizeof(request), 3), {raw, sizeof(request)});
    append_record(bytes, memory_record(wire::Kind::memory_region, 0x100000, 0x40000000), {});
    std::vector<std::uint8_t> const page(4096, 0x5A);
    wire::Record stored = memory_record(wire::Kind::memory_page, 0x100000, 4096, 1);
    stored.page_class = static_cast<std::uint8_t>(wire::PageClass::page_4k);
    append_record(bytes, stored, page);
    wire::Record zero = memory_record(wire::Kind::memory_page, 0x101000, 4096, 1);
    zero.flags = wire::record_flag::zero_content;
    append_record(bytes, zero, {});
    wire::Record write = memory_record(wire::Kind::memory_write, 0x20'0008, 2 << 20, 1);
    write.page_class = static_cast<std::uint8_t>(wire::PageClass::page_2m);
    append_record(bytes, write, {});
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
