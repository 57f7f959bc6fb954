// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What differs between AMD and Intel outside the exits (backend.hpp): which features there are, the
// format of the nested tables, the intercept bitmaps and the vendor's own MSRs. One binary holds both.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/cpu_driver.hpp"
#include "hypervisor/core/exit_services.hpp"
#include "hypervisor/core/guest_map.hpp"
#include "hypervisor/core/region.hpp"

namespace undercroft::backend {

/// Something that this processor does not have, and what is lost by it.
struct MissingFeature {
    std::string_view name, loss;
    bool required = false; ///< the sensor does not start without it
};

struct MissingList {
    std::array<MissingFeature, 32> features{};
    std::size_t count = 0;

    [[nodiscard]] std::span<MissingFeature const> all() const { return std::span{features}.first(count); }
    [[nodiscard]] bool any_required() const
    {
        for (MissingFeature const& feature : all())
            if (feature.required)
                return true;
        return false;
    }
};

/// What the guest's CPUs run on.
enum class GuestView : std::uint8_t {
    plain,
    monitored,          ///< on Intel without accessed and dirty bits
    monitored_with_bits ///< with them
};

/// What a vendor works with.
struct VendorParts {
    core::Region* region;
    core::Counters* counters;
    core::GuestMemory* memory;
    std::uint64_t host_root; ///< the sensor's own page tables
};

class Vendor {
public:
    /// As records and status name it: "svm", "vmx".
    [[nodiscard]] virtual char const* name() const = 0;
    /// Whether this processor can carry the sensor: ok, no_virtualisation or virtualisation_disabled.
    [[nodiscard]] virtual boot::StartResult support() = 0;
    /// After support().
    [[nodiscard]] virtual std::span<MissingFeature const> missing() const = 0;
    [[nodiscard]] virtual paging::TableCapabilities table_capabilities() const = 0;

    /// The guest's memory, [0, bytes) mapped to itself. nullptr: out of memory.
    [[nodiscard]] virtual core::GuestMap* make_guest_map(core::Region& region, paging::PagePool& pool,
                                                         core::TlbShootdown& shootdown, std::uint64_t bytes) = 0;
    /// After the map, before anything is taken from it: the monitored view. False: out of memory; there is none then.
    [[nodiscard]] virtual bool make_monitored_view(core::Region& region, paging::PagePool& pool,
                                                   core::TlbShootdown& shootdown, std::uint64_t bytes,
                                                   memory::ViewMemory const& memory) = 0;
    /// The processor can set accessed and dirty bits in nested entries.
    [[nodiscard]] virtual bool has_nested_access_bits() const = 0;
    /// CPUs can be made to exit after a given time (VirtualCpu::arm_timer).
    [[nodiscard]] virtual bool has_timer() const = 0;
    /// Holds for each CPU from its next flush_nested() on. Not plain: only with a monitored view.
    virtual void choose_view(GuestView view) = 0;
    /// After the map: the bitmaps, with what this vendor must always intercept. False: out of memory.
    [[nodiscard]] virtual bool build(VendorParts const& parts) = 0;
    virtual void intercept_port(std::uint16_t port, bool on) = 0;
    virtual void intercept_msr(std::uint32_t number, bool read, bool write) = 0;
    /// nullptr: out of memory.
    [[nodiscard]] virtual core::CpuDriver* make_cpu(core::Region& region, core::CpuParts const& parts) = 0;

    /// On a CPU that was just captured: from here on NMIs and the like wait for the exit loop.
    virtual void hold_events() = 0;
    /// MSRs of this vendor only; nothing: not one of them.
    [[nodiscard]] virtual std::optional<core::MsrAnswer> msr_read(std::uint32_t number, std::uint64_t& value) = 0;
    [[nodiscard]] virtual std::optional<core::MsrAnswer> msr_write(std::uint32_t number, std::uint64_t value) = 0;

protected:
    ~Vendor() = default;
};

/// By what the processor says of itself; nullptr: neither.
[[nodiscard]] Vendor* find_vendor();

} // namespace undercroft::backend
