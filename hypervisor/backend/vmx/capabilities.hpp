// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What this processor's VT-x offers, and the controls that follow from it (Intel SDM vol. 3D, appendix A).
#include <cstdint>

#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/backend/vmx/vmcs.hpp"
#include "hypervisor/paging/nested_table.hpp"

namespace undercroft::vmx {

/// The capability MSRs as RDMSR gives them.
struct Capabilities {
    std::uint64_t basic = 0, misc = 0;
    std::uint64_t pin = 0, primary = 0, secondary = 0, exit = 0,
                  entry = 0; ///< the TRUE ones; low: must, high: may be 1
    std::uint64_t ept_vpid = 0;
    std::uint64_t cr0_fixed0 = 0, cr0_fixed1 = 0, cr4_fixed0 = 0, cr4_fixed1 = 0;

    [[nodiscard]] bool has_true_controls() const { return (basic >> 55 & 1) != 0; }
    [[nodiscard]] std::uint32_t revision() const { return static_cast<std::uint32_t>(basic & 0x7FFF'FFFF); }
    /// The preemption timer counts down by one each time this bit of the TSC changes.
    [[nodiscard]] unsigned timer_shift() const { return static_cast<unsigned>(misc & 31); }
    [[nodiscard]] bool may(std::uint64_t capability, std::uint32_t bits) const
    {
        return (capability >> 32 & bits) == bits;
    }
};

/// `read_msr(number)` is RDMSR; nothing is read that the processor does not say it has.
template <typename ReadMsr>
Capabilities read_capabilities(ReadMsr&& read_msr)
{
    Capabilities c;
    c.basic = read_msr(msr::basic);
    c.misc = read_msr(msr::misc);
    c.cr0_fixed0 = read_msr(msr::cr0_fixed0);
    c.cr0_fixed1 = read_msr(msr::cr0_fixed1);
    c.cr4_fixed0 = read_msr(msr::cr4_fixed0);
    c.cr4_fixed1 = read_msr(msr::cr4_fixed1);
    if (!c.has_true_controls())
        return c;
    c.pin = read_msr(msr::true_pin);
    c.primary = read_msr(msr::true_primary);
    c.exit = read_msr(msr::true_exit);
    c.entry = read_msr(msr::true_entry);
    if (c.may(c.primary, primary::secondary))
        c.secondary = read_msr(msr::secondary_controls);
    if (c.may(c.secondary, secondary::ept) || c.may(c.secondary, secondary::vpid))
        c.ept_vpid = read_msr(msr::ept_vpid);
    return c;
}

/// What the sensor writes into the VMCS before the first entry.
struct Controls {
    std::uint32_t pin = 0, primary = 0, secondary = 0, exit = 0, entry = 0;
    bool operator==(Controls const&) const = default;
};
[[nodiscard]] Controls choose_controls(Capabilities const& offered);

/// IA32_VMX_EPT_VPID_CAP.
namespace ept_cap {
inline constexpr std::uint64_t execute_only = 1ULL << 0, four_levels = 1ULL << 6, write_back = 1ULL << 14,
                               pages_2m = 1ULL << 16, pages_1g = 1ULL << 17, invept = 1ULL << 20,
                               accessed_dirty = 1ULL << 21, invept_single = 1ULL << 25, invept_all = 1ULL << 26,
                               invvpid = 1ULL << 32, invvpid_single = 1ULL << 41, invvpid_all = 1ULL << 42;
}
[[nodiscard]] paging::TableCapabilities table_capabilities(Capabilities const& offered, unsigned address_bits);
/// SDM volume 3C, table 25-9.
namespace ept_pointer_bits {
inline constexpr std::uint64_t write_back = 6, four_levels = 3U << 3, accessed_dirty = 1U << 6;
}
/// Four levels, tables in write-back memory, accessed and dirty flags where there are any.
[[nodiscard]] std::uint64_t ept_pointer(Capabilities const& offered, std::uint64_t root);

inline constexpr std::uint32_t feature_tme = 1U << 13; ///< CPUID leaf 7, ECX: total memory encryption
/// Address bits that name memory. Those above, of `address_bits`, choose a key (TME-MK): the same memory by another
/// name.
[[nodiscard]] unsigned usable_address_bits(unsigned address_bits, std::uint64_t tme_activate);

[[nodiscard]] backend::MissingList missing_features(Capabilities const& offered);

} // namespace undercroft::vmx
