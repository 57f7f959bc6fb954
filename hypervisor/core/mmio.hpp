// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/units.hpp"

namespace undercroft::core {

/// Raw access to a device's registers (identity-mapped MMIO). width is 1, 2, 4 or 8
/// bytes; the access is made with exactly that width. In tests a device model.
class MmioBus {
public:
    [[nodiscard]] virtual std::uint64_t load(std::uint64_t offset, unsigned width) = 0;
    virtual void store(std::uint64_t offset, unsigned width, std::uint64_t value) = 0;

protected:
    ~MmioBus() = default;
};

/// What traps one range of guest-physical MMIO. Called with the guest stopped on one
/// CPU; other CPUs may call at the same time, so a handler takes its own lock.
/// offset is from the start of the range; width is 1, 2, 4 or 8; offset + width
/// stays inside the range. Values are zero-extended.
class MmioHandler {
public:
    [[nodiscard]] virtual std::uint64_t read(std::uint64_t offset, unsigned width) = 0;
    virtual void write(std::uint64_t offset, unsigned width, std::uint64_t value) = 0;

protected:
    ~MmioHandler() = default;
};

} // namespace undercroft::core
