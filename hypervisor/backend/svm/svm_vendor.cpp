// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/svm/svm_vendor.hpp"

#include "hypervisor/backend/svm/capabilities.hpp"
#include "hypervisor/core/host_environment.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace undercroft::svm {
namespace {

using Driver = core::CpuDriverOf<SvmCpu>;

std::uint32_t features()
{
    return core::cpuid(0x8000000A).edx;
}

core::CpuidResult encryption()
{
    constexpr std::uint32_t leaf = 0x8000001F, either = 3; // SME, SEV
    core::CpuidResult const found = core::cpuid(0x80000000).eax >= leaf ? core::cpuid(leaf) : core::CpuidResult{};
    return (found.eax & either) != 0 ? found : core::CpuidResult{};
}

void wait_in_halt(core::Mailbox&)
{
    // An NMI that comes just before HLT is lost; the sender repeats it.
    asm volatile("stgi; hlt; clgi" : : : "memory");
}

} // namespace

bool present()
{
    return core::cpuid(0x80000000).eax >= 0x8000000A && (core::cpuid(0x80000001).ecx & 1U << 2) != 0;
}

boot::StartResult SvmVendor::support()
{
    missing_ = missing_features(features());
    if (missing_.any_required())
        return boot::StartResult::no_virtualisation;
    if ((core::read_msr(msr::vm_cr) & vm_cr_svmdis) != 0)
        return boot::StartResult::virtualisation_disabled;
    return boot::StartResult::ok;
}

paging::TableCapabilities SvmVendor::table_capabilities() const
{
    paging::TableCapabilities result;
    result.pages_1g = (core::cpuid(0x80000001).edx & 1U << 26) != 0;
    core::CpuidResult const keys = encryption();
    result.address_bits = static_cast<std::uint8_t>(
        usable_address_bits(core::cpuid(0x80000008).eax, keys, keys.eax != 0 ? core::read_msr(msr::syscfg) : 0));
    return result;
}

core::GuestMap* SvmVendor::make_guest_map(core::Region& region, paging::PagePool& pool, core::TlbShootdown& shootdown,
                                          std::uint64_t bytes)
{
    map_ = region.make<NestedMap>(pool, shootdown, table_capabilities());
    if (map_ == nullptr || !map_->create(bytes, WriteBackEverywhere{}))
        return nullptr;
    shared_.nested_root = map_->running_root();
    shared_.open_root = map_->stepping_root();
    return map_;
}

bool SvmVendor::make_monitored_view(core::Region& region, paging::PagePool& pool, core::TlbShootdown& shootdown,
                                    std::uint64_t bytes, memory::ViewMemory const& memory)
{
    auto* const view = region.make<NestedMap::View>(pool, shootdown, table_capabilities());
    return view != nullptr && map_->add_monitored(*view, bytes, WriteBackEverywhere{}, memory);
}

void SvmVendor::choose_view(backend::GuestView view)
{
    shared_.nested_root = view == backend::GuestView::plain ? map_->running_root() : map_->monitored()->root();
}

bool SvmVendor::build(backend::VendorParts const& parts)
{
    counters_ = parts.counters;
    shared_.iopm = static_cast<std::uint8_t*>(parts.region->allocate(iopm_bytes, page_bytes));
    shared_.msrpm = static_cast<std::uint8_t*>(parts.region->allocate(msrpm_bytes, page_bytes));
    if (shared_.iopm == nullptr || shared_.msrpm == nullptr)
        return false;
    shared_.flush_by_asid = (features() & feature_flush_by_asid) != 0;
    intercept_msr(core::msr::efer, true, true); // SVME must stay set and hidden
    intercept_msr(msr::vm_cr, true, true);
    intercept_msr(msr::vm_hsave_pa, true, true);
    intercept_msr(msr::mmio_config_base, false, true);
    for (std::uint32_t number = 0xC0010000; number < 0xC0010020; ++number)
        if (routes_memory(number))
            intercept_msr(number, false, true);
    if (encryption().eax != 0)
        intercept_msr(msr::syscfg, true, true);
    return true;
}

void SvmVendor::intercept_port(std::uint16_t port, bool on)
{
    svm::intercept_port(shared_.iopm, port, on);
}

void SvmVendor::intercept_msr(std::uint32_t number, bool read, bool write)
{
    svm::intercept_msr(shared_.msrpm, number, read, write);
}

core::CpuDriver* SvmVendor::make_cpu(core::Region& region, core::CpuParts const& parts)
{
    auto* const driver = region.make<Driver>(parts, &wait_in_halt);
    auto* const vmcb = static_cast<Vmcb*>(region.allocate(sizeof(Vmcb), page_bytes));
    void* const host_save = region.allocate(page_bytes, page_bytes);
    if (driver == nullptr || vmcb == nullptr || host_save == nullptr)
        return nullptr;
    driver->cpu().initialise(vmcb, host_save, &shared_);
    return driver;
}

std::optional<core::MsrAnswer> SvmVendor::msr_read(std::uint32_t number, std::uint64_t& value)
{
    switch (number) {
    case msr::vm_cr: // as where the firmware has switched SVM off
        value = vm_cr_lock | vm_cr_svmdis;
        return core::MsrAnswer::done;
    case msr::vm_hsave_pa:
        return core::MsrAnswer::fault; // #GP without EFER.SVME (APM volume 2, 15.30.4)
    case msr::syscfg: // who believes that memory is encrypted sets address bits that the nested tables do not have
        value = core::read_msr(number) & ~syscfg_encryption;
        return core::MsrAnswer::done;
    default:
        return std::nullopt;
    }
}

std::optional<core::MsrAnswer> SvmVendor::msr_write(std::uint32_t number, std::uint64_t value)
{
    switch (number) {
    case msr::vm_cr:
        return core::MsrAnswer::done; // locked
    case msr::vm_hsave_pa:
        return core::MsrAnswer::fault;
    case msr::mmio_config_base: // moving the configuration space would uncover the hidden card
        counters_->add(wire::CounterId::pci_writes_refused);
        return core::MsrAnswer::done;
    default:
        break;
    }
    if (!routes_memory(number))
        return std::nullopt;
    std::uint64_t now = 0;
    if (!core::try_read_msr(number, now))
        return core::MsrAnswer::fault;
    if (number == msr::syscfg)
        now &= ~syscfg_encryption; // as it was read
    if (now != value)
        counters_->add(wire::CounterId::msr_writes_refused);
    return core::MsrAnswer::done; // as if locked
}

} // namespace undercroft::svm
