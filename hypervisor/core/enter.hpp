// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "hypervisor/core/x86.hpp"

namespace undercroft::core {

struct PerCpu;

/// Puts the calling CPU under the sensor; returns boot::StartResult, as a guest when ok.
extern "C" std::uint32_t core_enter(std::uint32_t cpu_index);

/// Makes the caller's state the guest's. nullptr: refused, *result says why.
extern "C" PerCpu* core_adopt_cpu(std::uint32_t cpu_index, CapturedState const* captured, std::uint32_t* result);

/// Runs on the CPU's own stack until the machine is switched off.
extern "C" [[noreturn]] void core_run_cpu(PerCpu* cpu);

} // namespace undercroft::core
