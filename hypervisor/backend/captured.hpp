// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::backend {

/// The guest's general registers where it goes on behind the call: those that a callee keeps, the others are 0.
inline Registers registers_of(core::CapturedState const& captured)
{
    return {{0, 0, 0, captured.rbx, captured.rsp, captured.rbp, 0, 0, 0, 0, 0, 0, captured.r12, captured.r13,
             captured.r14, captured.r15}};
}

} // namespace undercroft::backend
