// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/pci_bars.hpp"

namespace undercroft::platform {
namespace {

/// A value as it stands in the register after the guest wrote all ones. Taken for a probe only where hardware could
/// not decode the device anyway: the last 64 KiB below 4 GiB are the firmware's on every PC, and physical addresses end
/// far below 2^63. I/O ports there are usable, so a probe of an enabled I/O BAR is also announced.
bool is_probe(BarRange const& range)
{
    constexpr std::uint64_t always_firmware = 65536;
    std::uint64_t const top = ~(range.size - 1);
    switch (range.kind) {
    case Bar::Kind::memory32:
        return range.size <= always_firmware && range.base == (top & 0xffffffff);
    case Bar::Kind::memory64:
        return (range.base >> 32 == 0xffffffff) || (range.size <= always_firmware && range.base == (top & 0xffffffff));
    case Bar::Kind::io:
        return range.base == (top & 0xffff);
    case Bar::Kind::none:
        break;
    }
    return false;
}

/// Registers of IDE channels: two BARs each.
constexpr unsigned ide_channel_bars = 4;
constexpr std::uint64_t ide_bar_bytes[ide_channel_bars] = {8, 4, 8, 4};
constexpr std::uint16_t ide_fixed_ports[ide_channel_bars] = {0x1f0, 0x3f4, 0x170, 0x374};
constexpr std::uint16_t interface_offset = 0x09;

/// Bit 0: first channel native; bit 2: second; bits 1 and 3: they can be changed.
bool is_native(std::uint8_t interface, unsigned bar)
{
    return (interface >> (bar / 2 * 2) & 1) != 0;
}

std::uint32_t merged(std::uint32_t old, std::uint16_t register_offset, std::uint16_t offset, unsigned width,
                     std::uint32_t value)
{
    for (unsigned i = 0; i < width; ++i) {
        unsigned const at = offset + i;
        if (at < register_offset || at >= register_offset + 4U)
            continue;
        unsigned const shift = 8 * (at - register_offset);
        old = (old & ~(0xffU << shift)) | ((value >> (8 * i) & 0xff) << shift);
    }
    return old;
}

} // namespace

void BarFollower::set_up(PciConfig& config, Bdf function)
{
    bars_.clear();
    ranges_.clear();
    ide_ = is_ide(config.read(function, pci_reg::revision_class, 4) >> 8);
    for (unsigned index = 0; index < max_bars;) {
        Bar bar = size_bar(config, function, index);
        if (ide_ && index < ide_channel_bars)
            bar = {Bar::Kind::io, static_cast<std::uint8_t>(index), 0, ide_bar_bytes[index]};
        if (bar.kind != Bar::Kind::none)
            bars_.push(bar);
        index += bar.slots();
    }
    Registers const registers = read_registers(config, function);
    for (std::size_t i = 0; i < bars_.size(); ++i) {
        ranges_.push(decode(bars_[i], registers));
        last_enabled_base_[i] = ranges_[i].base;
    }
}

bool BarFollower::concerns(std::uint16_t offset, unsigned width) const
{
    auto const overlaps = [&](unsigned first, unsigned end) { return offset < end && offset + width > first; };
    return overlaps(pci_reg::command, pci_reg::command + 2U) || overlaps(bar_offset(0), bar_offset(max_bars)) ||
           (ide_ && overlaps(interface_offset, interface_offset + 1U));
}

BarFollower::Registers BarFollower::read_registers(PciConfig& config, Bdf function) const
{
    Registers registers{};
    registers.command = config.read(function, pci_reg::command, 4);
    for (unsigned i = 0; i < max_bars; ++i)
        registers.bars[i] = config.read(function, bar_offset(i), 4);
    registers.ide = ide_;
    registers.interface = static_cast<std::uint8_t>(config.read(function, interface_offset, 1));
    return registers;
}

BarRange BarFollower::decode(Bar const& bar, Registers const& registers)
{
    BarRange range{bar.kind, registers.bars[bar.index], bar.size, false};
    if (bar.kind == Bar::Kind::memory64)
        range.base |= std::uint64_t{registers.bars[bar.index + 1]} << 32;
    bool const is_io = bar.kind == Bar::Kind::io;
    if (registers.ide && bar.index < ide_channel_bars && !is_native(registers.interface, bar.index))
        range.base = ide_fixed_ports[bar.index];
    range.base &= ~(bar.size - 1) & (is_io ? 0xffff : ~std::uint64_t{0});
    // A function that stopped answering (reset, powered down) reads as all ones: it decodes nothing.
    bool const answers = registers.command != 0xffffffff;
    range.enabled = answers && (registers.command & (is_io ? pci_command::io : pci_command::memory)) != 0;
    return range;
}

bool BarFollower::before_write(PciConfig& config, Bdf function, std::uint16_t offset, unsigned width,
                               std::uint32_t value, PciEvents& events) const
{
    Registers registers = read_registers(config, function);
    registers.command = merged(registers.command, pci_reg::command, offset, width, value);
    for (unsigned i = 0; i < max_bars; ++i)
        registers.bars[i] = merged(registers.bars[i], bar_offset(i), offset, width, value);
    if (ide_) {
        unsigned const changeable = (registers.interface >> 1 & 1U) | (registers.interface >> 1 & 4U);
        std::uint32_t const wanted = merged(std::uint32_t{registers.interface} << 8, 8, offset, width, value) >> 8;
        registers.interface = static_cast<std::uint8_t>((registers.interface & ~changeable) | (wanted & changeable));
    }
    auto const for_each_new_place = [&](auto&& visit) {
        for (std::size_t i = 0; i < bars_.size(); ++i) {
            BarRange const to = decode(bars_[i], registers);
            bool const reachable = !is_probe(to) || to.kind == Bar::Kind::io;
            if (to.enabled && reachable && to != ranges_[i] && !visit(bars_[i].index, to))
                return false;
        }
        return true;
    };
    if (!for_each_new_place([&](unsigned bar, BarRange const& to) { return events.bar_may_move(function, bar, to); }))
        return false;
    return for_each_new_place([&](unsigned bar, BarRange const& to) {
        events.bar_about_to_move(function, bar, to);
        return true;
    });
}

void BarFollower::after_write(PciConfig& config, Bdf function, PciEvents& events, core::Counters& counters)
{
    Registers const registers = read_registers(config, function);
    for (std::size_t i = 0; i < bars_.size(); ++i) {
        BarRange const from = ranges_[i];
        BarRange const to = decode(bars_[i], registers);
        if (to == from || (to.enabled && is_probe(to)))
            continue;
        ranges_[i] = to;
        if (!from.enabled && !to.enabled)
            continue;
        if (to.enabled && to.base != last_enabled_base_[i]) {
            counters.add(wire::CounterId::bar_moves);
            last_enabled_base_[i] = to.base;
        }
        events.bar_moved(function, bars_[i].index, from, to);
    }
}

} // namespace undercroft::platform
