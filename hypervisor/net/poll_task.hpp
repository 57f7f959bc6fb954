// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/units.hpp"

namespace undercroft::net {

/// Something that shares the network with the sender, and so runs under its lock.
class PollTask {
public:
    /// Bounded work, no waiting.
    virtual void poll(Tsc now) = 0;

protected:
    ~PollTask() = default;
};

} // namespace undercroft::net
