// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/backend/svm/svm_cpu.hpp"
#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/paging/memory_type.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace undercroft::svm {

/// The processor has SVM, perhaps switched off or without what the sensor needs.
[[nodiscard]] bool present();

/// On AMD the guest's PAT and the machine's MTRRs decide; write-back in the nested entries leaves both
/// as they are (APM volume 2, 15.25.8).
struct WriteBackEverywhere {
    template <typename Visit>
    void for_each(std::uint64_t begin, std::uint64_t end, Visit&& visit) const
    {
        visit(paging::TypedRange{begin, end, paging::npt_type});
    }
};

class SvmVendor final : public backend::Vendor {
public:
    [[nodiscard]] char const* name() const override { return "svm"; }
    [[nodiscard]] boot::StartResult support() override;
    [[nodiscard]] std::span<backend::MissingFeature const> missing() const override { return missing_.all(); }
    [[nodiscard]] paging::TableCapabilities table_capabilities() const override;
    [[nodiscard]] core::GuestMap* make_guest_map(core::Region& region, paging::PagePool& pool,
                                                 core::TlbShootdown& shootdown, std::uint64_t bytes) override;
    [[nodiscard]] bool make_monitored_view(core::Region& region, paging::PagePool& pool, core::TlbShootdown& shootdown,
                                           std::uint64_t bytes, memory::ViewMemory const& memory) override;
    [[nodiscard]] bool has_nested_access_bits() const override { return true; }
    [[nodiscard]] bool has_timer() const override { return false; }
    void choose_view(backend::GuestView view) override;
    [[nodiscard]] bool build(backend::VendorParts const& parts) override;
    void intercept_port(std::uint16_t port, bool on) override;
    void intercept_msr(std::uint32_t number, bool read, bool write) override;
    [[nodiscard]] core::CpuDriver* make_cpu(core::Region& region, core::CpuParts const& parts) override;
    void hold_events() override { asm volatile("clgi"); }
    [[nodiscard]] std::optional<core::MsrAnswer> msr_read(std::uint32_t number, std::uint64_t& value) override;
    [[nodiscard]] std::optional<core::MsrAnswer> msr_write(std::uint32_t number, std::uint64_t value) override;

private:
    using NestedMap = core::GuestMapOf<paging::NptFormat, WriteBackEverywhere>;

    SharedState shared_;
    NestedMap* map_ = nullptr;
    core::Counters* counters_ = nullptr;
    backend::MissingList missing_;
};

} // namespace undercroft::svm
