// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/vmx/capabilities.hpp"

namespace undercroft::vmx {
namespace {

constexpr std::uint32_t wanted_pin = pin::nmi | pin::virtual_nmis;
constexpr std::uint32_t wanted_primary =
    primary::tsc_offsetting | primary::io_bitmaps | primary::msr_bitmaps | primary::secondary;
constexpr std::uint32_t wanted_exit = exit_control::save_debug | exit_control::host_64 | exit_control::save_pat |
                                      exit_control::load_pat | exit_control::save_efer | exit_control::load_efer;
constexpr std::uint32_t wanted_entry = entry_control::load_debug | entry_control::load_pat | entry_control::load_efer;
constexpr std::uint32_t required_secondary = secondary::ept | secondary::unrestricted;
/// Without these bits the guest would get #UD for instructions that CPUID announces.
constexpr std::uint32_t passed_through =
    secondary::rdtscp | secondary::invpcid | secondary::xsaves | secondary::user_wait;

std::uint32_t settle(std::uint64_t capability, std::uint32_t wanted)
{
    auto const must = static_cast<std::uint32_t>(capability), may = static_cast<std::uint32_t>(capability >> 32);
    return (wanted | must) & may;
}

bool can_drop_translations(std::uint64_t ept_vpid)
{
    return (ept_vpid & ept_cap::invept) != 0 && (ept_vpid & (ept_cap::invept_all | ept_cap::invept_single)) != 0;
}

bool usable_vpid(Capabilities const& c)
{
    return c.may(c.secondary, secondary::vpid) && (c.ept_vpid & ept_cap::invvpid) != 0 &&
           (c.ept_vpid & (ept_cap::invvpid_single | ept_cap::invvpid_all)) != 0;
}

} // namespace

Controls choose_controls(Capabilities const& offered)
{
    std::uint32_t const vpid = usable_vpid(offered) ? secondary::vpid : 0;
    return {.pin = settle(offered.pin, wanted_pin),
            .primary = settle(offered.primary, wanted_primary),
            .secondary = settle(offered.secondary, required_secondary | passed_through | vpid),
            .exit = settle(offered.exit, wanted_exit),
            .entry = settle(offered.entry, wanted_entry)};
}

paging::TableCapabilities table_capabilities(Capabilities const& offered, unsigned address_bits)
{
    return {.pages_1g = (offered.ept_vpid & ept_cap::pages_1g) != 0,
            .pages_2m = (offered.ept_vpid & ept_cap::pages_2m) != 0,
            .execute_only = (offered.ept_vpid & ept_cap::execute_only) != 0,
            .address_bits = static_cast<std::uint8_t>(address_bits)};
}

std::uint64_t ept_pointer(Capabilities const& offered, std::uint64_t root)
{
    using namespace ept_pointer_bits;
    return root | write_back | four_levels | ((offered.ept_vpid & ept_cap::accessed_dirty) != 0 ? accessed_dirty : 0);
}

unsigned usable_address_bits(unsigned address_bits, std::uint64_t tme_activate)
{
    constexpr std::uint64_t enabled = 1U << 1;
    auto const key_bits = static_cast<unsigned>(tme_activate >> 32 & 15);
    return (tme_activate & enabled) != 0 && key_bits < address_bits ? address_bits - key_bits : address_bits;
}

backend::MissingList missing_features(Capabilities const& c)
{
    backend::MissingList list;
    auto const need = [&](bool there, std::string_view name, std::string_view loss, bool required) {
        if (!there)
            list.features[list.count++] = {name, loss, required};
    };
    auto const required = [&](bool there, std::string_view name) {
        need(there, name, "the sensor cannot start on this processor", true);
    };
    auto const optional = [&](bool there, std::string_view name, std::string_view loss) {
        need(there, name, loss, false);
    };
    constexpr std::uint64_t activity_hlt = 1U << 6;
    required(c.has_true_controls(), "TRUE control MSRs");
    required(c.may(c.pin, pin::nmi), "NMI exiting");
    required(c.may(c.pin, pin::virtual_nmis), "virtual NMIs");
    required(c.may(c.primary, primary::tsc_offsetting), "TSC offsetting");
    required(c.may(c.primary, primary::io_bitmaps), "I/O bitmaps");
    required(c.may(c.primary, primary::msr_bitmaps), "MSR bitmaps");
    required(c.may(c.primary, primary::secondary), "secondary controls");
    required(c.may(c.secondary, secondary::ept), "extended page tables (EPT)");
    required(c.may(c.secondary, secondary::unrestricted), "unrestricted guest");
    required((c.ept_vpid & ept_cap::four_levels) != 0, "EPT with four levels");
    required((c.ept_vpid & ept_cap::write_back) != 0, "EPT tables in write-back memory");
    required(can_drop_translations(c.ept_vpid), "INVEPT");
    required(c.may(c.exit, wanted_exit), "saving and loading of EFER, PAT and debug registers at exits");
    required(c.may(c.entry, wanted_entry), "loading of EFER, PAT and debug registers at entries");
    required((c.misc & activity_hlt) != 0, "the HLT activity state");
    optional(usable_vpid(c), "VPID", "each exit drops the guest's cached translations: the guest runs slower");
    optional((c.ept_vpid & ept_cap::pages_1g) != 0, "1 GiB EPT pages",
             "larger tables and more TLB misses; memory above 64 GiB is out of the guest's reach");
    optional((c.ept_vpid & ept_cap::pages_2m) != 0, "2 MiB EPT pages", "much larger tables and more TLB misses");
    optional((c.ept_vpid & ept_cap::execute_only) != 0, "execute-only EPT pages",
             "pages cannot be watched for reads while they are executed");
    optional((c.ept_vpid & ept_cap::accessed_dirty) != 0, "EPT accessed and dirty flags",
             "memory use can only be watched by faults");
    optional(c.may(c.secondary, secondary::modification_log), "page-modification logging",
             "written pages must be found by scanning");
    optional(c.may(c.pin, pin::timer), "the preemption timer",
             "records wait for the guest's own interrupts and idle times before they are sent");
    return list;
}

} // namespace undercroft::vmx
