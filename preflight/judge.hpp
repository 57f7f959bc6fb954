// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From what a machine is to what that means for the sensor. Pure: the same facts give the same findings.
#include <string>
#include <vector>

#include "preflight/facts.hpp"

namespace undercroft::preflight {

enum class Level : std::uint8_t {
    ok,
    note,   ///< the sensor starts; something is lost by this, or is to be known
    problem ///< it does not start, or sees or sends nothing
};

struct Finding {
    Level level = Level::ok;
    std::string what;
    std::string why; ///< empty with ok where nothing is to be said
    std::string remedy;
};

struct Plan {
    std::uint64_t buffer_kib = 65536; ///< as in undercroft.conf
    std::uint64_t memory_buffer_kib = 8192;
};

[[nodiscard]] std::vector<Finding> judge(Facts const& facts, Plan const& plan);

/// 1: there is a problem; 2: none is known, and not everything could be read; 0: the sensor can start.
[[nodiscard]] int exit_code(Facts const& facts, std::vector<Finding> const& findings);
[[nodiscard]] int exit_code(std::vector<Finding> const& findings, std::vector<Unread> const& unread);

} // namespace undercroft::preflight
