// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The caller's end of the local control socket.
#include <filesystem>
#include <vector>

#include "collector/control/protocol.hpp"
#include "wire/control.hpp"

namespace undercroft::collector {

/// One call and its answer, 15 seconds at most. Throws std::runtime_error when no collector listens there or answers.
[[nodiscard]] ControlReply ask_collector(std::filesystem::path const& socket, ControlCall const& call);

/// For people: why a call that was not `answered`, or whose result is not `done`, came to nothing.
[[nodiscard]] char const* text_of(CallOutcome outcome);
[[nodiscard]] char const* text_of(wire::ControlResult result);
/// As many states as the sensor sent, and no more than there is room for.
[[nodiscard]] std::vector<wire::MemoryStatus> states_of(ControlReply const& reply);

} // namespace undercroft::collector
