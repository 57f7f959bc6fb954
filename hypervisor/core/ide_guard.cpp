// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/ide_guard.hpp"

#include "hypervisor/core/log.hpp"
#include "hypervisor/mediate/ide/registers.hpp"

namespace undercroft::core {
namespace {

using Block = ide::IdeMediator::Block;

constexpr unsigned bus_master_bar = 4;
/// In the four ports of the control block's BAR (PCI IDE Controller Specification 1.0, 2.2).
constexpr unsigned control_in_bar = 2;

std::uint16_t first_port(platform::BarRange const& range, unsigned offset)
{
    return static_cast<std::uint16_t>(range.base + offset);
}

} // namespace

std::uint32_t IdeGuard::Window::port_read(std::uint16_t first, unsigned offset, unsigned width)
{
    return mediator->read(channel, block, static_cast<std::uint16_t>(first - block_offset), block_offset + offset,
                          width);
}

void IdeGuard::Window::port_write(std::uint16_t first, unsigned offset, unsigned width, std::uint32_t value)
{
    mediator->write(channel, block, static_cast<std::uint16_t>(first - block_offset), block_offset + offset, width,
                    value);
}

/// The bus master's status registers are left out: drivers read them at each interrupt, and nothing in them matters.
void IdeGuard::lay_out(Windows& windows, ide::IdeMediator& mediator)
{
    std::size_t at = 0;
    for (unsigned channel = 0; channel < ide::channels_of_controller; ++channel) {
        auto const add = [&](Block block, unsigned bar, unsigned bar_offset, unsigned block_offset, unsigned bytes) {
            Window& window = windows[at++];
            window.mediator = &mediator;
            window.channel = channel;
            window.block = block;
            window.bar = static_cast<std::uint8_t>(bar);
            window.bar_offset = static_cast<std::uint8_t>(bar_offset);
            window.block_offset = static_cast<std::uint8_t>(block_offset);
            window.bytes = static_cast<std::uint8_t>(bytes);
        };
        add(Block::command, 2 * channel, 0, 0, ide::command_block_bytes);
        add(Block::control, 2 * channel + 1, control_in_bar, 0, 1);
        unsigned const half = ide::bus_master::bytes * channel;
        add(Block::bus_master, bus_master_bar, half + ide::bus_master::command, ide::bus_master::command, 1);
        add(Block::bus_master, bus_master_bar, half + ide::bus_master::table, ide::bus_master::table, 4);
    }
}

bool IdeGuard::start(std::size_t controller, platform::BarFollower const& bars)
{
    WatchedIde const& watched = controllers_[controller];
    lay_out(windows_[controller], *watched.mediator);
    watched.mediator->set_traps(*traps_);
    bool all = true;
    for (std::size_t i = 0; i < bars.ranges().size(); ++i) {
        if (bars.bar(i).index > bus_master_bar)
            log(LogLevel::warning,
                str("the IDE controller has registers besides the standard's; they are not watched"));
        for (Window& window : windows_[controller])
            if (window.bar == bars.bar(i).index)
                all = set_place(window, bars.ranges()[i]) && all;
    }
    tell_ports(controller);
    watched.mediator->adopt();
    return all;
}

bool IdeGuard::occupy(Window& window, Window::Place& place, std::uint16_t first)
{
    auto const route = router_.add(first, window.bytes, window);
    if (!route)
        return false;
    place = {first, *route};
    traps_->trap_ports(first, window.bytes, true);
    return true;
}

void IdeGuard::vacate(Window const& window, Window::Place& place)
{
    if (!place.used())
        return;
    router_.remove(place.route);
    traps_->trap_ports(place.first, window.bytes, false);
    place = {};
}

std::optional<std::size_t> IdeGuard::index_of(platform::Bdf function) const
{
    for (std::size_t i = 0; i < controllers_.size(); ++i)
        if (controllers_[i].function.bdf == function)
            return i;
    return {};
}

/// Two devices at the same ports, or one device's registers at another's: what an access would do there cannot be
/// known.
bool IdeGuard::may_move(platform::Bdf function, unsigned bar, platform::BarRange const& to) const
{
    if (to.kind != platform::Bar::Kind::io)
        return true;
    auto const index = index_of(function);
    for (std::size_t i = 0; i < controllers_.size(); ++i)
        for (Window const& window : windows_[i])
            for (Window::Place const* const place : {&window.now, &window.next}) {
                bool const own = index == i && window.bar == bar;
                if (!own && place->used() && place->first < to.base + to.size &&
                    to.base < std::uint64_t{place->first} + window.bytes)
                    return false;
            }
    return true;
}

void IdeGuard::about_to_move(platform::Bdf function, unsigned bar, platform::BarRange const& to)
{
    auto const index = index_of(function);
    if (!index || !to.enabled || to.kind != platform::Bar::Kind::io)
        return;
    for (Window& window : windows_[*index]) {
        if (window.bar != bar)
            continue;
        std::uint16_t const first = first_port(to, window.bar_offset);
        if (window.now.used() && window.now.first == first)
            continue;
        vacate(window, window.next);
        if (!occupy(window, window.next, first))
            log(LogLevel::error, str("IDE registers may escape at port "), hex(first));
    }
}

void IdeGuard::moved(platform::Bdf function, unsigned bar, platform::BarRange const& to)
{
    auto const index = index_of(function);
    if (!index || to.kind != platform::Bar::Kind::io)
        return;
    bool all = true;
    for (Window& window : windows_[*index])
        if (window.bar == bar)
            all = set_place(window, to) && all;
    if (!all)
        log(LogLevel::error, str("IDE registers are not watched at port "), hex(to.base));
    tell_ports(*index);
}

bool IdeGuard::set_place(Window& window, platform::BarRange const& to)
{
    std::uint16_t const first = first_port(to, window.bar_offset);
    if (to.enabled && window.now.used() && window.now.first == first) {
        vacate(window, window.next);
        traps_->trap_ports(first, window.bytes, true);
        return true;
    }
    vacate(window, window.now);
    if (to.enabled && window.next.used() && window.next.first == first) {
        window.now = window.next;
        window.next = {};
        return true;
    }
    vacate(window, window.next);
    return !to.enabled || occupy(window, window.now, first);
}

void IdeGuard::tell_ports(std::size_t controller)
{
    std::array<ide::ChannelPorts, ide::channels_of_controller> ports{};
    for (Window const& window : windows_[controller]) {
        if (!window.now.used())
            continue;
        auto const base = static_cast<std::uint16_t>(window.now.first - window.block_offset);
        ide::ChannelPorts& of = ports[window.channel];
        (window.block == Block::command   ? of.command_block
         : window.block == Block::control ? of.control
                                          : of.bus_master) = base;
    }
    for (unsigned channel = 0; channel < ports.size(); ++channel)
        controllers_[controller].mediator->set_ports(channel, ports[channel]);
}

} // namespace undercroft::core
