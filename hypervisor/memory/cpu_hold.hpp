// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once

namespace undercroft::memory {

/// All the guest's CPUs at rest, for as long as it takes to take rights from every page at one instant.
class CpuHold {
public:
    /// Returns when every other CPU has left the guest; none enters it again before release(). Short: the guest's
    /// watchdogs and clocks go on. False: some CPU did not answer in time and may be in the guest.
    [[nodiscard]] virtual bool hold() = 0;
    virtual void release() = 0;

protected:
    ~CpuHold() = default;
};

} // namespace undercroft::memory
