// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From a call on the control socket to a command for a sensor, and back.
#include "collector/control/protocol.hpp"
#include "collector/intake.hpp"

namespace undercroft::collector {

/// Waits for the sensor's answer, ten seconds at most. One call at a time, with a lane of its own.
[[nodiscard]] ControlReply carry_out(ControlCall const& call, Intake& intake, Intake::Lane& lane, Socket const& socket);

} // namespace undercroft::collector
