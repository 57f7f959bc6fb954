// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/tests/generator/records.hpp"

#include <cstring>

namespace undercroft::generator {

std::uint64_t splitmix64(std::uint64_t value)
{
    value += 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31);
}

namespace {

constexpr std::uint16_t whole_request = wire::record_flag::first_of_request | wire::record_flag::last_of_request;

/// Sixteen records share a run: half the runs go on block by block, the others jump with every record.
wire::Record header_at(RecordRules const& rules, std::uint64_t sequence)
{
    std::uint64_t const run = splitmix64(rules.seed * 31 + sequence / 16);
    std::uint64_t const random = splitmix64(rules.seed + sequence);
    bool const sequential = (run & 1) != 0;
    bool const write = (run & 6) != 0 ? (run & 8) != 0 : (random & 1) != 0;
    std::uint64_t const place = sequential ? (run >> 16) + sequence % 16 * 8 : (run >> 16) + (random >> 40) * 8;
    wire::Record record{};
    record.time_utc_ns = rules.base_time_utc_ns + sequence * rules.ns_per_record + (random & 0xFFF);
    record.address = place & 0x7FFF'FFF8U; // a disk of 1 TiB
    record.length = std::uint32_t{sequential || (random & 0x30) != 0 ? 4096U : 16384U};
    record.kind = static_cast<std::uint8_t>(write ? wire::Kind::storage_write : wire::Kind::storage_read);
    record.source = std::uint16_t{0x100};
    record.flags = static_cast<std::uint16_t>(whole_request | (write ? wire::record_flag::has_entropy : 0));
    // Blocks of one file resemble each other: 10 bits vary around the run's value.
    record.entropy =
        write ? static_cast<std::uint16_t>(((run >> 48) & 0xFC00U) + ((random >> 12) & 0x3FFU)) : std::uint16_t{0};
    return record;
}

wire::Record block_at(RecordRules const& rules, std::uint64_t sequence)
{
    std::uint64_t const random = splitmix64(rules.seed + sequence);
    wire::Record record{};
    record.time_utc_ns = rules.base_time_utc_ns + sequence * rules.ns_per_record + (random & 0xFFF);
    record.address = sequence * 8;
    record.length = record.content_bytes = std::uint32_t{wire::content_block_bytes};
    record.kind = static_cast<std::uint8_t>(wire::Kind::storage_write);
    record.source = std::uint16_t{0x100};
    record.flags =
        static_cast<std::uint16_t>(whole_request | wire::record_flag::has_entropy | wire::record_flag::has_content);
    record.entropy = static_cast<std::uint16_t>(random >> 16);
    return record;
}

} // namespace

wire::Record record_at(RecordRules const& rules, std::uint64_t sequence)
{
    if (rules.shape == Shape::headers)
        return header_at(rules, sequence);
    if (rules.shape == Shape::blocks)
        return block_at(rules, sequence);
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
    std::uint16_t flags = whole_request;
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

void write_content(RecordRules const& rules, std::uint64_t sequence, std::span<std::uint8_t> bytes)
{
    std::uint64_t const block = splitmix64(rules.seed + sequence) % rules.distinct_blocks;
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        Le<std::uint64_t> const word{splitmix64(block * 1'000'003 + at)};
        std::memcpy(bytes.data() + at, &word, sizeof(word));
    }
}

} // namespace undercroft::generator
