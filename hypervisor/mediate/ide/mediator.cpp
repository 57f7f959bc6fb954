// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ide/mediator.hpp"

namespace undercroft::ide {
namespace {

class NoTraps final : public core::PortTraps {
public:
    void trap_ports(std::uint16_t, unsigned, bool) override {}
};
constinit NoTraps no_traps;

} // namespace

IdeMediator::IdeMediator(std::uint8_t controller, core::PortIo& ports, core::GuestMemory const& memory,
                         observe::DiskObserver& observer, core::Counters& counters, TableMemories const& tables)
    : controller_{.ports = &ports,
                  .traps = &no_traps,
                  .memory = &memory,
                  .observer = &observer,
                  .counters = &counters,
                  .controller = controller,
                  .capture = true,
                  .busy = 0,
                  .common_flags = 0}
{
    for (unsigned i = 0; i < channels_.size(); ++i)
        channels_[i].attach(controller_, i, tables[i]);
}

void IdeMediator::set_ports(unsigned channel, ChannelPorts const& ports)
{
    core::SpinGuard const guard{channels_[channel].lock()};
    channels_[channel].set_ports(ports);
}

ChannelPorts IdeMediator::ports(unsigned channel)
{
    core::SpinGuard const guard{channels_[channel].lock()};
    return channels_[channel].ports();
}

void IdeMediator::adopt()
{
    for (Channel& channel : channels_) {
        core::SpinGuard const guard{channel.lock()};
        channel.adopt();
    }
}

void IdeMediator::set_before_os(bool on)
{
    controller_.common_flags.store(on ? wire::record_flag::before_os : 0, std::memory_order_relaxed);
}

std::uint32_t IdeMediator::read(unsigned channel, Block block, std::uint16_t base, unsigned offset, unsigned width)
{
    Channel& to = channels_[channel];
    core::SpinGuard const guard{to.lock()};
    switch (block) {
    case Block::command:
        return to.read_command_block(base, offset, width);
    case Block::control:
        return to.read_control(static_cast<std::uint16_t>(base + offset));
    case Block::bus_master:
        break;
    }
    return to.read_bus_master(base, offset, width);
}

void IdeMediator::write(unsigned channel, Block block, std::uint16_t base, unsigned offset, unsigned width,
                        std::uint32_t value)
{
    Channel& to = channels_[channel];
    core::SpinGuard const guard{to.lock()};
    switch (block) {
    case Block::command:
        return to.write_command_block(base, offset, width, value);
    case Block::control:
        return to.write_control(static_cast<std::uint16_t>(base + offset), static_cast<std::uint8_t>(value));
    case Block::bus_master:
        return to.write_bus_master(base, offset, width, value);
    }
}

} // namespace undercroft::ide
