// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/backend/vmx/vmx_cpu.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/paging/ept_format.hpp"
#include "hypervisor/paging/memory_type.hpp"

namespace undercroft::vmx {

/// The processor has VT-x, perhaps switched off or without what the sensor needs.
[[nodiscard]] bool present();

class VmxVendor final : public backend::Vendor {
public:
    [[nodiscard]] char const* name() const override { return "vmx"; }
    [[nodiscard]] boot::StartResult support() override;
    [[nodiscard]] std::span<backend::MissingFeature const> missing() const override { return missing_.all(); }
    [[nodiscard]] paging::TableCapabilities table_capabilities() const override;
    [[nodiscard]] core::GuestMap* make_guest_map(core::Region& region, paging::PagePool& pool,
                                                 core::TlbShootdown& shootdown, std::uint64_t bytes) override;
    [[nodiscard]] bool make_monitored_view(core::Region& region, paging::PagePool& pool, core::TlbShootdown& shootdown,
                                           std::uint64_t bytes, memory::ViewMemory const& memory) override;
    [[nodiscard]] bool has_nested_access_bits() const override;
    [[nodiscard]] bool has_timer() const override;
    void choose_view(backend::GuestView view) override;
    [[nodiscard]] bool build(backend::VendorParts const& parts) override;
    void intercept_port(std::uint16_t port, bool on) override;
    void intercept_msr(std::uint32_t number, bool read, bool write) override;
    [[nodiscard]] core::CpuDriver* make_cpu(core::Region& region, core::CpuParts const& parts) override;
    void hold_events() override { asm volatile("cli"); } // an NMI is noted and handed on
    [[nodiscard]] std::optional<core::MsrAnswer> msr_read(std::uint32_t number, std::uint64_t& value) override;
    [[nodiscard]] std::optional<core::MsrAnswer> msr_write(std::uint32_t number, std::uint64_t value) override;

private:
    using ExtendedMap = core::GuestMapOf<paging::EptFormat, paging::MtrrMap>;

    [[nodiscard]] core::MsrAnswer write_mtrr(std::uint32_t number, std::uint64_t value);

    SharedState shared_;
    backend::MissingList missing_;
    core::Counters* counters_ = nullptr;
    ExtendedMap* map_ = nullptr;
    std::uint64_t mapped_bytes_ = 0;
    core::Spinlock mtrr_lock_;
    paging::MtrrRegisters mtrrs_;
};

} // namespace undercroft::vmx
