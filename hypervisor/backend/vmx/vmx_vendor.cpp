// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/vmx/vmx_vendor.hpp"

#include "hypervisor/backend/vmx/bitmaps.hpp"
#include "hypervisor/backend/vmx/unguarded_writes.hpp"
#include "hypervisor/backend/vmx/vmx_emulate.hpp"
#include "hypervisor/core/log.hpp"

namespace undercroft::vmx {

static_assert(backend::VirtualCpu<VmxCpu>);
template class BasicVmxCpu<Hardware>;

namespace {

using Driver = core::CpuDriverOf<VmxCpu>;

void wait_in_halt(core::Mailbox&)
{
    // An NMI that comes just before HLT is lost; the sender repeats it.
    asm volatile("hlt" : : : "memory");
}

unsigned address_bits()
{
    bool const has_tme = core::cpuid(0).eax >= 7 && (core::cpuid(7).ecx & feature_tme) != 0;
    return usable_address_bits(core::cpuid(0x80000008).eax & 0xFF, has_tme ? core::read_msr(msr::tme_activate) : 0);
}

bool has_xss()
{
    constexpr std::uint32_t xsaves = 1U << 3;
    return core::cpuid(0).eax >= leaf_state && (core::cpuid(leaf_state, 1).eax & xsaves) != 0;
}

bool is_capability(std::uint32_t number)
{
    return number >= msr::first_capability && number <= msr::last_capability;
}

bool is_mtrr(std::uint32_t number, paging::MtrrRegisters const& mtrrs)
{
    using paging::MtrrRegisters;
    if (number == MtrrRegisters::msr_default_type)
        return true;
    for (std::uint32_t const fixed : MtrrRegisters::msr_fixed)
        if (number == fixed)
            return true;
    return number >= MtrrRegisters::msr_variable &&
           number < MtrrRegisters::msr_variable + 2 * static_cast<std::uint32_t>(mtrrs.variable_count());
}

} // namespace

bool present()
{
    return core::cpuid(0).eax >= 1 && (core::cpuid(1).ecx & 1U << 5) != 0;
}

boot::StartResult VmxVendor::support()
{
    shared_.offered = read_capabilities(&core::read_msr);
    shared_.controls = choose_controls(shared_.offered);
    missing_ = missing_features(shared_.offered);
    if (missing_.any_required())
        return boot::StartResult::no_virtualisation;
    std::uint64_t const feature_control = core::read_msr(msr::feature_control);
    bool const off = (feature_control & feature_lock) != 0 && (feature_control & feature_vmx) == 0;
    return off ? boot::StartResult::virtualisation_disabled : boot::StartResult::ok;
}

paging::TableCapabilities VmxVendor::table_capabilities() const
{
    return vmx::table_capabilities(read_capabilities(&core::read_msr), address_bits());
}

core::GuestMap* VmxVendor::make_guest_map(core::Region& region, paging::PagePool& pool, core::TlbShootdown& shootdown,
                                          std::uint64_t bytes)
{
    map_ = region.make<ExtendedMap>(pool, shootdown, table_capabilities());
    paging::read_mtrrs(&core::read_msr, mtrrs_);
    mapped_bytes_ = bytes;
    if (map_ == nullptr || !map_->create(bytes, paging::MtrrMap{mtrrs_, address_bits()}))
        return nullptr;
    choose_view(backend::GuestView::plain);
    shared_.stepping_pointer = ept_pointer(shared_.offered, map_->stepping_root());
    return map_;
}

bool VmxVendor::make_monitored_view(core::Region& region, paging::PagePool& pool, core::TlbShootdown& shootdown,
                                    std::uint64_t bytes, memory::ViewMemory const& memory)
{
    auto* const view = region.make<ExtendedMap::View>(pool, shootdown, table_capabilities());
    return view != nullptr && map_->add_monitored(*view, bytes, paging::MtrrMap{mtrrs_, address_bits()}, memory);
}

bool VmxVendor::has_nested_access_bits() const
{
    return (shared_.offered.ept_vpid & ept_cap::accessed_dirty) != 0;
}

bool VmxVendor::has_timer() const
{
    return shared_.offered.may(shared_.offered.pin, pin::timer);
}

void VmxVendor::choose_view(backend::GuestView view)
{
    using enum backend::GuestView;
    std::uint64_t const root = view == plain ? map_->running_root() : map_->monitored()->root();
    std::uint64_t const pointer = ept_pointer(shared_.offered, root);
    shared_.running_pointer = view == monitored ? pointer & ~ept_pointer_bits::accessed_dirty : pointer;
}

bool VmxVendor::build(backend::VendorParts const& parts)
{
    counters_ = parts.counters;
    shared_.memory = parts.memory;
    shared_.host_root = parts.host_root;
    shared_.host_tables = core::host_tables();
    shared_.io_bitmaps = static_cast<std::uint8_t*>(parts.region->allocate(io_bitmap_bytes, page_bytes));
    shared_.msr_bitmap = static_cast<std::uint8_t*>(parts.region->allocate(msr_bitmap_bytes, page_bytes));
    if (shared_.io_bitmaps == nullptr || shared_.msr_bitmap == nullptr)
        return false;
    intercept_msr(msr::feature_control, true, true);
    for (std::uint32_t number = msr::first_capability; number <= msr::last_capability; ++number)
        intercept_msr(number, true, true);
    for (MsrRange const& range : unguarded_msrs)
        for (std::uint32_t number = range.first; number <= range.last; ++number)
            intercept_msr(number, true, true);
    if (has_xss())
        intercept_msr(msr::xss, false, true);
    intercept_msr(msr::tme_activate, false, true);
    for (std::uint32_t number = paging::MtrrRegisters::msr_variable; number <= paging::MtrrRegisters::msr_default_type;
         ++number)
        if (is_mtrr(number, mtrrs_))
            intercept_msr(number, false, true);
    return true;
}

void VmxVendor::intercept_port(std::uint16_t port, bool on)
{
    vmx::intercept_port(shared_.io_bitmaps, port, on);
}

void VmxVendor::intercept_msr(std::uint32_t number, bool read, bool write)
{
    vmx::intercept_msr(shared_.msr_bitmap, number, read, write);
}

core::CpuDriver* VmxVendor::make_cpu(core::Region& region, core::CpuParts const& parts)
{
    auto* const driver = region.make<Driver>(parts, &wait_in_halt);
    void* const vmxon = region.allocate(page_bytes, page_bytes);
    void* const vmcs = region.allocate(page_bytes, page_bytes);
    if (driver == nullptr || vmxon == nullptr || vmcs == nullptr)
        return nullptr;
    driver->cpu().initialise(vmxon, vmcs, &shared_);
    return driver;
}

std::optional<core::MsrAnswer> VmxVendor::msr_read(std::uint32_t number, std::uint64_t& value)
{
    if (number == msr::feature_control) { // as where the firmware has switched VT-x off
        value = (core::read_msr(number) | feature_lock) & ~(feature_vmx | feature_vmx_in_smx);
        return core::MsrAnswer::done;
    }
    if (is_capability(number) || is_unguarded_msr(number))
        return core::MsrAnswer::fault;
    return std::nullopt;
}

std::optional<core::MsrAnswer> VmxVendor::msr_write(std::uint32_t number, std::uint64_t value)
{
    if (number == msr::feature_control || is_capability(number) || number == msr::tme_activate)
        return core::MsrAnswer::fault; // locked; read-only
    if (is_unguarded_msr(number) || (number == msr::xss && (value & xss_trace) != 0))
        return core::MsrAnswer::fault; // not there
    if (is_mtrr(number, mtrrs_))
        return write_mtrr(number, value);
    return std::nullopt;
}

/// With EPT the MTRRs no longer count for the guest: what it writes there goes into the entries. While it
/// rewrites them it has switched them off; then nothing is to be seen yet.
core::MsrAnswer VmxVendor::write_mtrr(std::uint32_t number, std::uint64_t value)
{
    constexpr std::uint64_t enabled = 1U << 11;
    if (!core::try_write_msr(number, value))
        return core::MsrAnswer::fault;
    if ((core::read_msr(paging::MtrrRegisters::msr_default_type) & enabled) == 0)
        return core::MsrAnswer::done;
    core::SpinGuard const guard{mtrr_lock_};
    paging::read_mtrrs(&core::read_msr, mtrrs_);
    if (!map_->retype(mapped_bytes_, paging::MtrrMap{mtrrs_, address_bits()}))
        core::log(core::LogLevel::error, core::str("out of table pages: memory types are not as the MTRRs have them"));
    return core::MsrAnswer::done;
}

} // namespace undercroft::vmx
