// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::core {

/// Which ports exit. A change holds for every CPU's next instruction; callers see to it that no two of them change
/// ports of one group of eight at a time.
class PortTraps {
public:
    virtual void trap_ports(std::uint16_t first, unsigned count, bool on) = 0;

protected:
    ~PortTraps() = default;
};

} // namespace undercroft::core
