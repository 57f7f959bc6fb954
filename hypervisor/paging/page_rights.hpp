// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::paging {

/// Encodings as in MTRRs, PAT and EPT (Intel SDM vol. 3A, table 12-2). uncached_minus
/// exists in the PAT only: uncacheable unless an MTRR says write-combining.
enum class MemoryType : std::uint8_t {
    uncacheable = 0,
    write_combining = 1,
    write_through = 4,
    write_protected = 5,
    write_back = 6,
    uncached_minus = 7,
};

/// What a guest access may do. Writable but not readable does not exist on either vendor.
struct Permissions {
    bool read = false, write = false, execute = false;
    constexpr bool operator==(Permissions const&) const = default;
    [[nodiscard]] constexpr bool any() const { return read || write || execute; }
    /// True when every right of `other` is also ours.
    [[nodiscard]] constexpr bool includes(Permissions other) const
    {
        return (read || !other.read) && (write || !other.write) && (execute || !other.execute);
    }
};
inline constexpr Permissions rights_none{};
inline constexpr Permissions rights_read{true, false, false};
inline constexpr Permissions rights_read_execute{true, false, true};
inline constexpr Permissions rights_read_write{true, true, false};
inline constexpr Permissions rights_all{true, true, true};

} // namespace undercroft::paging
