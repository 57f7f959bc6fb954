// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/counters.hpp"

namespace undercroft::net {

/// What lwIP takes from its platform (arch/cc.h, sys_now): call before lwip_init(). The
/// objects must outlive lwIP's use.
void start_lwip_port(core::Clock const& clock, core::Counters& counters, std::uint64_t random_seed);

} // namespace undercroft::net
