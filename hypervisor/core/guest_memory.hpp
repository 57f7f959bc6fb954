// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.hpp"

namespace undercroft::core {

/// The guest's RAM as the sensor may see it: guest-physical, identity-mapped,
/// never the sensor's own memory, never MMIO. Every address and length may be
/// hostile; a range that overflows or leaves RAM fails as a whole.
class GuestMemory {
public:
    /// Copies out of guest RAM. False: some byte is not guest RAM; `into` is then unspecified.
    [[nodiscard]] virtual bool read(Gpa from, std::span<std::byte> into) const = 0;
    /// Copies into guest RAM. False: some byte is not guest RAM; nothing was written.
    [[nodiscard]] virtual bool write(Gpa to, std::span<std::byte const> from) = 0;
    /// The bytes in place, or nullptr when any of them is not guest RAM. The guest
    /// (or a device) can change them at any time: read each byte once.
    [[nodiscard]] virtual std::byte const* view(Gpa at, std::size_t bytes) const = 0;
    /// True when [at, at + bytes) overlaps memory or MMIO that belongs to the sensor
    /// (or overflows): no device may be told to transfer there.
    [[nodiscard]] virtual bool touches_sensor(Gpa at, std::uint64_t bytes) const = 0;

protected:
    ~GuestMemory() = default;
};

} // namespace undercroft::core
