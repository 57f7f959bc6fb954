// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory monitor in the machine: its memory, its modes, and how the exit loop reaches it.
#include <cstdint>
#include <span>

#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/devices.hpp"
#include "hypervisor/core/region.hpp"
#include "hypervisor/core/system_memory.hpp"
#include "hypervisor/memory/cpu_hold.hpp"
#include "hypervisor/memory/dirty_log.hpp"
#include "hypervisor/memory/monitor.hpp"
#include "hypervisor/observe/slot_buffer.hpp"

namespace undercroft::core {

class MemoryWatch {
public:
    struct Parts {
        Config const* config;
        backend::Vendor* vendor;
        SystemMemory* memory;
        Clock const* clock;
        Counters* counters;
        observe::SlotBuffer* buffer; ///< of the memory stream; nullptr: none
        memory::ViewSwitch* view_switch;
        memory::CpuHold* cpus;
        memory::DeviceWriteListener* device_writes; ///< leads to the monitor
        Devices* devices;
        std::uint32_t cpu_count;
        std::uint64_t key;
    };

    /// Right after the guest map, before anything is taken from it. False: it does not fit; there is no monitor then.
    /// `host`: of the sensor's own tables, as for required_bytes.
    [[nodiscard]] bool set_aside(Region& region, backend::Vendor& vendor, GuestMap& map, TlbShootdown& shootdown,
                                 SystemMemory const& memory, paging::TableCapabilities const& host);
    /// Without the view there is a monitor that says so.
    void build(Region& region, Parts const& parts);

    [[nodiscard]] memory::Monitor* monitor() { return monitor_; }
    [[nodiscard]] bool running() const { return monitor_ != nullptr && monitor_->running(); }
    [[nodiscard]] Tsc due() const { return monitor_ != nullptr ? monitor_->due() : memory::never; }
    [[nodiscard]] bool fault(backend::Exit const& exit, std::uint16_t cpu, Tsc now);
    [[nodiscard]] wire::ControlResult request(wire::MemoryRequest const& request,
                                              std::span<wire::MemoryStatus, wire::memory_modes> statuses);

    /// Where device writes are to be announced; nullptr: nobody wants to know.
    [[nodiscard]] memory::DeviceWrites* device_writes() { return log_; }

private:
    [[nodiscard]] std::uint16_t lacks(Parts const& parts) const;
    [[nodiscard]] bool add_modes(Region& region, memory::EngineParts const& parts);
    [[nodiscard]] bool add_snapshot(Region& region, memory::EngineParts const& engine, Parts const& parts);
    [[nodiscard]] bool add_watch(Region& region, memory::EngineParts const& engine, Parts const& parts);

    memory::ViewMemory view_memory_{};
    paging::PagePool pool_;
    memory::MonitoredView* view_ = nullptr;
    std::span<std::uint8_t> writes_;
    memory::Monitor* monitor_ = nullptr;
    memory::DirtyLog* log_ = nullptr;
};

} // namespace undercroft::core
