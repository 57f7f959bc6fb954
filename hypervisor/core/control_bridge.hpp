// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Connects the authenticated hypercall (control/control.hpp) with the machine.
#include "hypervisor/backend/backend.hpp"
#include "hypervisor/control/control.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/devices.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/memory_watch.hpp"

namespace undercroft::core {

class ControlBridge final : private control::ControlTarget, private net::CommandTarget {
public:
    ControlBridge(Config const& config, boot::BootInfo const& info, Devices& devices, MemoryWatch& memory_watch,
                  Counters& counters);

    /// False: the caller must see #UD.
    [[nodiscard]] bool hypercall(backend::Registers& registers, backend::PagingState const& paging,
                                 GuestMemory& memory);

private:
    void status(wire::ControlStatus& status) override;
    void set_capture(bool on) override { switch_capture(on, "ucctl"); }
    void switch_capture(bool on, std::string_view by);
    [[nodiscard]] std::size_t counters(std::span<wire::Counter> into) override;
    [[nodiscard]] wire::ControlResult memory(wire::MemoryRequest const& request,
                                             std::span<wire::MemoryStatus, wire::memory_modes> states) override;
    // CommandTarget: the collector's commands
    [[nodiscard]] wire::ControlResult carry_out(net::Command const& command,
                                                std::span<wire::MemoryStatus, wire::memory_modes> states) override;
    [[nodiscard]] LogRead log(std::uint64_t cursor, std::span<char> into) override;

    Config const* config_;
    boot::BootInfo const* info_;
    Devices* devices_;
    MemoryWatch* memory_watch_;
    Counters* counters_;
    control::ControlServer server_;
    std::atomic<bool> capturing_;
};

} // namespace undercroft::core
