// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/pci.hpp"

#include "base/width.hpp"

namespace undercroft::platform {
namespace {

constexpr std::uint32_t config_enable = 1U << 31;

std::uint32_t address_of(Bdf function, std::uint16_t offset)
{
    return config_enable | std::uint32_t{function.bus} << 16 | std::uint32_t{function.device} << 11 |
           std::uint32_t{function.function} << 8 | (offset & 0xfcU);
}

bool port_reaches(Bdf function, std::uint16_t offset, unsigned width)
{
    return function.segment == 0 && offset + width <= 256;
}

} // namespace

std::string_view name_of(Bdf bdf, BdfText& text)
{
    constexpr char digits[] = "0123456789abcdef";
    char const result[12] = {digits[bdf.bus >> 4],    digits[bdf.bus & 15],    ':',
                             digits[bdf.device >> 4], digits[bdf.device & 15], '.',
                             digits[bdf.function & 7]};
    __builtin_memcpy(text, result, sizeof(text));
    return {text, 7};
}

std::uint32_t PortPciConfig::read(Bdf function, std::uint16_t offset, unsigned width)
{
    if (!port_reaches(function, offset, width))
        return static_cast<std::uint32_t>(width_mask(width));
    return raw_read(address_of(function, offset), offset & 3, width);
}

void PortPciConfig::write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value)
{
    if (port_reaches(function, offset, width))
        raw_write(address_of(function, offset), offset & 3, width, value);
}

std::uint32_t PortPciConfig::raw_read(std::uint32_t address, unsigned byte, unsigned width)
{
    core::SpinGuard guard{lock_};
    ports_->store(pci_address_port, 4, address);
    return ports_->load(static_cast<std::uint16_t>(pci_data_port + byte), width);
}

void PortPciConfig::raw_write(std::uint32_t address, unsigned byte, unsigned width, std::uint32_t value)
{
    core::SpinGuard guard{lock_};
    ports_->store(pci_address_port, 4, address);
    ports_->store(static_cast<std::uint16_t>(pci_data_port + byte), width, value);
}

std::uint32_t PortPciConfig::latch(std::uint32_t address)
{
    core::SpinGuard guard{lock_};
    ports_->store(pci_address_port, 4, address);
    return ports_->load(pci_address_port, 4);
}

std::uint32_t PortPciConfig::latched()
{
    core::SpinGuard guard{lock_};
    return ports_->load(pci_address_port, 4);
}

std::uint32_t PortPciConfig::port_read(std::uint16_t port, unsigned width)
{
    core::SpinGuard guard{lock_};
    return ports_->load(port, width);
}

void PortPciConfig::port_write(std::uint16_t port, unsigned width, std::uint32_t value)
{
    core::SpinGuard guard{lock_};
    ports_->store(port, width, value);
}

bool EcamPciConfig::covers(Bdf function, std::uint16_t offset, unsigned width) const
{
    return function.segment == segment_.segment && function.bus >= segment_.start_bus &&
           function.bus <= segment_.end_bus && offset + width <= page_bytes;
}

std::uint32_t EcamPciConfig::read(Bdf function, std::uint16_t offset, unsigned width)
{
    if (!covers(function, offset, width))
        return static_cast<std::uint32_t>(width_mask(width));
    return static_cast<std::uint32_t>(bus_->load(ecam_offset(function) + offset, width));
}

void EcamPciConfig::write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value)
{
    if (covers(function, offset, width))
        bus_->store(ecam_offset(function) + offset, width, value);
}

std::optional<PciFunction> identify(PciConfig& config, Bdf bdf)
{
    std::uint32_t const id = config.read(bdf, pci_reg::vendor_id, 4);
    auto const vendor = static_cast<std::uint16_t>(id);
    if (vendor == 0xffff || vendor == 0)
        return {};
    PciFunction function;
    function.bdf = bdf;
    function.vendor = vendor;
    function.device = static_cast<std::uint16_t>(id >> 16);
    function.class_code = config.read(bdf, pci_reg::revision_class, 4) >> 8;
    function.header_type = static_cast<std::uint8_t>(config.read(bdf, pci_reg::header_type, 1) & 0x7f);
    if (function.is_bridge()) {
        function.secondary_bus = static_cast<std::uint8_t>(config.read(bdf, pci_reg::secondary_bus, 1));
        function.subordinate_bus = static_cast<std::uint8_t>(config.read(bdf, pci_reg::subordinate_bus, 1));
    }
    return function;
}

PciFindings find_devices(PciConfig& config, std::uint16_t segment, std::uint8_t first_bus, std::uint8_t last_bus)
{
    PciFindings found;
    for_each_function(config, segment, first_bus, last_bus, [&found](PciFunction const& function) {
        ++found.functions;
        if (function.class_code == class_ahci)
            found.ahci.push(function);
        if (is_ide(function.class_code))
            found.ide.push(function);
        if (function.class_code == class_ethernet)
            found.ethernet.push(function);
    });
    return found;
}

BridgePath bridges_above(PciConfig& config, Bdf function)
{
    BridgePath inner_first;
    std::uint8_t bus = function.bus;
    while (inner_first.omitted() == 0) {
        std::optional<PciFunction> parent;
        for_each_function(config, function.segment, 0, bus, [&](PciFunction const& candidate) {
            if (candidate.is_bridge() && candidate.secondary_bus == bus && candidate.bdf.bus < bus)
                parent = candidate;
        });
        if (!parent)
            break;
        inner_first.push(parent->bdf);
        bus = parent->bdf.bus;
    }
    BridgePath path;
    for (std::size_t i = inner_first.size(); i > 0; --i)
        path.push(inner_first[i - 1]);
    return path;
}

Bar read_bar(PciConfig& config, Bdf function, unsigned index)
{
    Bar bar;
    bar.index = static_cast<std::uint8_t>(index);
    std::uint32_t const low = config.read(function, bar_offset(index), 4);
    if ((low & 1) != 0) {
        bar.kind = Bar::Kind::io;
        bar.base = low & 0xfffc;
        return bar;
    }
    bar.base = low & ~0xfU;
    bool const wide = (low & 6) == 4 && index + 1 < max_bars;
    bar.kind = wide ? Bar::Kind::memory64 : Bar::Kind::memory32;
    if (wide)
        bar.base |= std::uint64_t{config.read(function, bar_offset(index + 1), 4)} << 32;
    return bar;
}

Bar size_bar(PciConfig& config, Bdf function, unsigned index)
{
    Bar bar = read_bar(config, function, index);
    auto const command = static_cast<std::uint16_t>(config.read(function, pci_reg::command, 2));
    config.write(function, pci_reg::command, 2,
                 command & static_cast<std::uint32_t>(~(pci_command::io | pci_command::memory)));
    std::uint64_t mask = 0;
    for (unsigned slot = 0; slot < bar.slots(); ++slot) {
        std::uint16_t const offset = bar_offset(index + slot);
        std::uint32_t const saved = config.read(function, offset, 4);
        config.write(function, offset, 4, 0xffffffff);
        mask |= std::uint64_t{config.read(function, offset, 4)} << (32 * slot);
        config.write(function, offset, 4, saved);
    }
    config.write(function, pci_reg::command, 2, command);
    if (bar.kind == Bar::Kind::io)
        mask &= 0xfffc;
    else
        mask &= ~std::uint64_t{0xf};
    // The lowest writable address bit is the size; none at all: not implemented.
    bar.size = mask & (~mask + 1);
    if (bar.size == 0)
        bar.kind = Bar::Kind::none;
    return bar;
}

std::uint8_t find_capability(PciConfig& config, Bdf function, std::uint8_t id)
{
    std::uint8_t found = 0;
    for_each_capability(config, function, [&](std::uint8_t kind, std::uint8_t at) {
        found = kind == id ? at : found;
        return found == 0;
    });
    return found;
}

} // namespace undercroft::platform
