// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/backend/svm/svm_cpu.hpp"
#include "hypervisor/backend/vendor.hpp"

namespace undercroft::svm {

/// The processor has SVM, perhaps switched off or without what the sensor needs.
[[nodiscard]] bool present();

class SvmVendor final : public backend::Vendor {
public:
    [[nodiscard]] char const* name() const override { return "svm"; }
    [[nodiscard]] boot::StartResult support() override;
    [[nodiscard]] std::span<backend::MissingFeature const> missing() const override { return missing_.all(); }
    [[nodiscard]] paging::TableCapabilities table_capabilities() const override;
    [[nodiscard]] core::GuestMap* make_guest_map(core::Region& region, paging::PagePool& pool,
                                                 core::TlbShootdown& shootdown, std::uint64_t bytes) override;
    [[nodiscard]] bool build(backend::VendorParts const& parts) override;
    void intercept_port(std::uint16_t port, bool on) override;
    void intercept_msr(std::uint32_t number, bool read, bool write) override;
    [[nodiscard]] core::CpuDriver* make_cpu(core::Region& region, core::CpuParts const& parts) override;
    void hold_events() override { asm volatile("clgi"); }
    [[nodiscard]] std::optional<core::MsrAnswer> msr_read(std::uint32_t number, std::uint64_t& value) override;
    [[nodiscard]] std::optional<core::MsrAnswer> msr_write(std::uint32_t number, std::uint64_t value) override;

private:
    SharedState shared_;
    core::Counters* counters_ = nullptr;
    backend::MissingList missing_;
};

} // namespace undercroft::svm
