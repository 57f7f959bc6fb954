// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a detector asks of a sensor when it raises an alert, through the control socket of `undercroft collect`.
#include <string>

#include <nlohmann/json.hpp>

#include "analysis/detect/alert.hpp"

namespace undercroft::analysis {

enum class ResponsePolicy : std::uint8_t {
    none,
    hold_writes,    ///< the guest's writes wait until `undercroft control … release-writes`
    memory_capture, ///< a snapshot of all memory, content included
};

/// "none", "hold-writes", "memory-capture". Throws Error that lists them.
[[nodiscard]] ResponsePolicy response_policy_of(std::string const& name);

/// Does it and says how it went: {"policy", "result", "at_ns"}. Does not throw.
[[nodiscard]] nlohmann::json respond(ResponsePolicy policy, std::string const& control_socket, DiskName const& disk);

} // namespace undercroft::analysis
