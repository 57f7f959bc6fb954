// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What `ucctl memory` is asked for, as text, and the request that it becomes.
#include <expected>
#include <string>

#include "wire/memory.hpp"

namespace undercroft::control_cli {

/// Empty text: the sensor's default.
struct MemoryArguments {
    wire::MemoryMode mode = wire::MemoryMode::none;
    wire::MemoryAction action = wire::MemoryAction::status;
    std::string every;       ///< "300ms"
    std::uint32_t turns = 0; ///< VM exits
    std::string range;       ///< BEGIN+BYTES
    std::string rate;        ///< "10M" bytes per second
    std::string budget;      ///< "5%"
    std::string delay;       ///< "10ms"
    std::uint16_t depth = 0; ///< other pages
    std::uint32_t thin = 0;  ///< every m-th write
    bool huge = false, keep_entries = false, keep_tlb = false, only_touched = false;
    bool consistent = false, full_sweeps = false, no_content = false;
};

/// The reason when a text cannot be understood.
[[nodiscard]] std::expected<wire::MemoryRequest, std::string> memory_request(MemoryArguments const& arguments);

/// "250us", "300ms", "2s", "5min": microseconds, at least 1.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_duration_us(std::string const& text);
/// "4096", "64K", "10M", "2G" (powers of 1,024), "0x1000".
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_bytes(std::string const& text);
/// "5%", "0.5%": thousandths, 1 ... 1000.
[[nodiscard]] std::expected<std::uint16_t, std::string> parse_permille(std::string const& text);

} // namespace undercroft::control_cli
