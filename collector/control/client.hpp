// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The caller's end of the local control socket.
#include <filesystem>

#include "collector/control/protocol.hpp"

namespace undercroft::collector {

/// One call and its answer, 15 seconds at most. Throws std::runtime_error when no collector listens there or answers.
[[nodiscard]] ControlReply ask_collector(std::filesystem::path const& socket, ControlCall const& call);

} // namespace undercroft::collector
