// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/tests/generator/records.hpp"

namespace undercroft::generator {

std::uint64_t splitmix64(std::uint64_t value)
{
    value += 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31);
}

wire::Record record_at(RecordRules const& rules, std::uint64_t sequence)
{
    std::uint64_t const random = splitmix64(rules.seed + sequence);
    std::uint64_t const choice = sequence % 8;
    wire::Kind kind = wire::Kind::storage_write;
    std::uint64_t sectors = 1 + random % 8;
    if (choice < 3) {
        kind = wire::Kind::storage_read;
        sectors = 1 + random % 64;
    } else if (choice == 7) {
        kind = (random & 1) != 0 ? wire::Kind::storage_flush : wire::Kind::storage_trim;
        sectors = (random & 1) != 0 ? 0 : 1 + random % 4096;
    }
    std::uint16_t flags = wire::record_flag::first_of_request | wire::record_flag::last_of_request;
    if (kind == wire::Kind::storage_write) {
        flags |= wire::record_flag::has_entropy;
        if (rules.content)
            flags |= wire::record_flag::has_content;
    }
    wire::Record record{};
    record.time_utc_ns = rules.base_time_utc_ns + sequence * 1000;
    record.address = (random >> 8) & 0xFFFFFFFFU;
    record.length = static_cast<std::uint32_t>(sectors * 512);
    record.kind = static_cast<std::uint8_t>(kind);
    record.source = static_cast<std::uint16_t>(0x100 + ((random >> 40) & 3));
    record.entropy = kind == wire::Kind::storage_write ? static_cast<std::uint16_t>(random >> 16) : std::uint16_t{0};
    record.flags = flags;
    if ((flags & wire::record_flag::has_content) != 0)
        record.content_bytes = record.length;
    return record;
}

std::vector<std::uint8_t> content_at(RecordRules const& rules, std::uint64_t sequence, wire::Record const& record)
{
    std::vector<std::uint8_t> bytes(record.content_bytes.get());
    std::uint64_t const block = splitmix64(rules.seed + sequence) % rules.distinct_blocks;
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        std::uint64_t const word = splitmix64(block * 1'000'003 + at);
        for (std::size_t i = 0; i < 8; ++i)
            bytes[at + i] = static_cast<std::uint8_t>(word >> (8 * i));
    }
    return bytes;
}

} // namespace undercroft::generator
