// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Records that anybody can compute again from their sequence number (collector/tests/store_check.py does, in Python).
#include <cstdint>
#include <span>

#include "wire/record.hpp"

namespace undercroft::generator {

enum class Shape : std::uint8_t {
    mixed,   ///< reads, writes, flushes and trims at random places; writes with content on wish
    headers, ///< runs of reads and writes as file systems make them, 32 bytes a record, writes with entropy
    blocks,  ///< writes of 4,096 bytes with content, 4,128 bytes a record
};

struct RecordRules {
    Shape shape = Shape::mixed;
    std::uint64_t seed = 1;
    std::uint64_t base_time_utc_ns = 1'700'000'000'000'000'000;
    std::uint64_t ns_per_record = 10'000; ///< time from one record to the next
    bool content = false;                 ///< full content instead of headers only
    std::uint64_t distinct_blocks = 256;  ///< how many different contents there are, per length
};

[[nodiscard]] std::uint64_t splitmix64(std::uint64_t value);
[[nodiscard]] wire::Record record_at(RecordRules const& rules, std::uint64_t sequence);
/// The content of a record that has some; `bytes` is as long as it, a multiple of 8.
void write_content(RecordRules const& rules, std::uint64_t sequence, std::span<std::uint8_t> bytes);

} // namespace undercroft::generator
