// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Records that anybody can compute again from their sequence number (collector/tests/store_check.py does, in Python).
#include <cstdint>
#include <vector>

#include "wire/record.hpp"

namespace undercroft::generator {

struct RecordRules {
    std::uint64_t seed = 1;
    std::uint64_t base_time_utc_ns = 1'700'000'000'000'000'000;
    bool content = false;                ///< full content instead of headers only
    std::uint64_t distinct_blocks = 256; ///< how many different contents there are, per length
};

[[nodiscard]] std::uint64_t splitmix64(std::uint64_t value);
[[nodiscard]] wire::Record record_at(RecordRules const& rules, std::uint64_t sequence);
/// The content of a record, empty when it has none.
[[nodiscard]] std::vector<std::uint8_t> content_at(RecordRules const& rules, std::uint64_t sequence,
                                                   wire::Record const& record);

} // namespace undercroft::generator
