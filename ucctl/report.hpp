// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// How answers are shown: text for people, JSON (one object) for programs.
#include <string>
#include <vector>

#include "ucctl/client.hpp"

namespace undercroft::ucctl {

[[nodiscard]] std::string status_text(wire::ControlStatus const& status);
[[nodiscard]] std::string status_json(wire::ControlStatus const& status);
[[nodiscard]] std::string version_text(wire::ControlHello const& hello);
[[nodiscard]] std::string version_json(wire::ControlHello const& hello);
/// Name of a counter, "counter_N" when this ucctl does not know it; with the index when it has one.
[[nodiscard]] std::string counter_name(wire::Counter const& counter);
[[nodiscard]] std::string counters_text(std::vector<wire::Counter> const& counters);
[[nodiscard]] std::string counters_json(std::vector<wire::Counter> const& counters);
[[nodiscard]] std::string log_json(LogPart const& part);

} // namespace undercroft::ucctl
