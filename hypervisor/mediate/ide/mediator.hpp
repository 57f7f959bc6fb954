// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One IDE controller: two channels, each with a command block, a control register and half of the bus-master block.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/mediate/ide/channel.hpp"

namespace undercroft::ide {

inline constexpr unsigned channels_of_controller = 2;
using TableMemories = std::array<TableMemory, channels_of_controller>;

/// Some 130 KiB: it belongs into static memory.
class IdeMediator final {
public:
    /// Everything referred to outlives the mediator. `tables` lie below 4 GiB.
    IdeMediator(std::uint8_t controller, core::PortIo& ports, core::GuestMemory const& memory,
                observe::DiskObserver& observer, core::Counters& counters, TableMemories const& tables);

    /// Before any access: who sets and takes traps while the guest runs.
    void set_traps(core::PortTraps& traps) { controller_.traps = &traps; }
    /// The registers are now there. All these ports are trapped, the bus master's status excepted.
    void set_ports(unsigned channel, ChannelPorts const& ports);
    [[nodiscard]] ChannelPorts ports(unsigned channel);
    /// Reads the controller's state at the start.
    void adopt();
    /// Off: commands are still checked and followed, but not recorded.
    void set_capture(bool on) { controller_.capture.store(on, std::memory_order_relaxed); }
    /// Sets record_flag::before_os on what follows.
    void set_before_os(bool on);
    /// Who wants to know which guest memory the bus master will write to, from now on.
    void set_device_writes(memory::DeviceWrites& writes)
    {
        controller_.device_writes.store(&writes, std::memory_order_release);
    }
    /// Whether a device works on a command, as far as the guest has looked; takes no lock.
    [[nodiscard]] bool any_outstanding() const { return controller_.busy.load(std::memory_order_relaxed) != 0; }

    enum class Block : std::uint8_t { command, control, bus_master };
    /// A guest's access to `offset` in a block that lies at `base`; it stays inside the block's registers.
    [[nodiscard]] std::uint32_t read(unsigned channel, Block block, std::uint16_t base, unsigned offset,
                                     unsigned width);
    void write(unsigned channel, Block block, std::uint16_t base, unsigned offset, unsigned width, std::uint32_t value);

private:
    ControllerContext controller_;
    std::array<Channel, channels_of_controller> channels_;
};

} // namespace undercroft::ide
