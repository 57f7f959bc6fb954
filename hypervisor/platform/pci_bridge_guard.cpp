// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/pci_bridge_guard.hpp"

namespace undercroft::platform {
namespace {

constexpr std::uint8_t capability_power = 0x01, capability_express = 0x10;
constexpr std::uint8_t secondary_bus_reset = 1U << 6;

/// The window registers, 20h ... 2Fh, as they are or as they would be after a write.
struct Windows {
    std::uint8_t bytes[16];

    [[nodiscard]] std::uint32_t field(unsigned offset, unsigned width) const
    {
        std::uint32_t value = 0;
        for (unsigned i = 0; i < width; ++i)
            value |= std::uint32_t{bytes[offset - pci_reg::memory_window + i]} << (8 * i);
        return value;
    }
    [[nodiscard]] MemoryRange memory() const
    {
        std::uint64_t const base = field(pci_reg::memory_window, 2) & 0xfff0;
        std::uint64_t const limit = field(pci_reg::memory_window + 2U, 2) & 0xfff0;
        return {base << 16, limit << 16 | 0xfffff};
    }
    [[nodiscard]] MemoryRange prefetchable() const
    {
        std::uint64_t const base = field(pci_reg::prefetchable_window, 2) & 0xfff0;
        std::uint64_t const limit = field(pci_reg::prefetchable_window + 2U, 2) & 0xfff0;
        return {std::uint64_t{field(pci_reg::prefetchable_base_upper, 4)} << 32 | base << 16,
                std::uint64_t{field(pci_reg::prefetchable_limit_upper, 4)} << 32 | limit << 16 | 0xfffff};
    }
};

Windows read_windows(PciConfig& config, Bdf bridge)
{
    Windows windows{};
    for (std::uint16_t i = 0; i < 16; i = static_cast<std::uint16_t>(i + 4)) {
        std::uint32_t const value = config.read(bridge, static_cast<std::uint16_t>(pci_reg::memory_window + i), 4);
        for (unsigned b = 0; b < 4; ++b)
            windows.bytes[i + b] = static_cast<std::uint8_t>(value >> (8 * b));
    }
    return windows;
}

bool covers(MemoryRange const& window, MemoryRange const& needed)
{
    return needed.empty() || (window.first <= needed.first && window.last >= needed.last);
}

void widen(MemoryRange& range, MemoryRange const& by)
{
    if (range.empty())
        range = by;
    range.first = by.first < range.first ? by.first : range.first;
    range.last = by.last > range.last ? by.last : range.last;
}

} // namespace

void BridgeGuard::set_up(PciConfig& config, Bdf bridge, FixedList<Bar, max_bars> const& card)
{
    forced_.clear();
    forced_.push({pci_reg::command, 0, pci_command::memory | pci_command::bus_master});
    forced_.push({pci_reg::bridge_control, secondary_bus_reset, 0});
    if (std::uint16_t const power = find_capability(config, bridge, capability_power); power != 0)
        forced_.push({static_cast<std::uint16_t>(power + 4), 0x03, 0}); // PowerState: D0
    if (std::uint16_t const express = find_capability(config, bridge, capability_express); express != 0) {
        forced_.push({static_cast<std::uint16_t>(express + 0x10), 1U << 4, 0}); // Link Disable
        // Power Controller Control (bit 10 of Slot Control): 1 is off. Left alone where it does not exist or is off
        // already.
        auto const slot_control = static_cast<std::uint16_t>(express + 0x19);
        if ((config.read(bridge, slot_control, 1) & 1U << 2) == 0)
            forced_.push({slot_control, 1U << 2, 0});
    }
    Windows const windows = read_windows(config, bridge);
    in_memory_window_ = in_prefetchable_window_ = {};
    for (Bar const& bar : card) {
        if (bar.kind == Bar::Kind::io || bar.size == 0 || bar.base == 0)
            continue;
        MemoryRange const needed{bar.base, bar.base + bar.size - 1};
        if (covers(windows.memory(), needed))
            widen(in_memory_window_, needed);
        else if (covers(windows.prefetchable(), needed))
            widen(in_prefetchable_window_, needed);
    }
}

bool BridgeGuard::windows_still_cover(PciConfig& config, Bdf bridge, std::uint16_t offset, unsigned width,
                                      std::uint32_t value) const
{
    constexpr unsigned first = pci_reg::memory_window, end = first + 16;
    if (offset >= end || offset + width <= first)
        return true;
    Windows windows = read_windows(config, bridge);
    for (unsigned i = 0; i < width; ++i)
        if (offset + i >= first && offset + i < end)
            windows.bytes[offset + i - first] = static_cast<std::uint8_t>(value >> (8 * i));
    return covers(windows.memory(), in_memory_window_) && covers(windows.prefetchable(), in_prefetchable_window_);
}

std::optional<std::uint32_t> BridgeGuard::judge(PciConfig& config, Bdf bridge, std::uint16_t offset, unsigned width,
                                                std::uint32_t value, bool& changed) const
{
    changed = false;
    if (!windows_still_cover(config, bridge, offset, width, value)) {
        changed = true;
        return {};
    }
    std::uint32_t allowed = value;
    for (Forced const& forced : forced_) {
        if (forced.offset < offset || forced.offset >= offset + width)
            continue;
        unsigned const shift = 8U * (forced.offset - offset);
        allowed &= ~(std::uint32_t{forced.clear} << shift);
        allowed |= std::uint32_t{forced.set} << shift;
    }
    changed = allowed != value;
    return allowed;
}

} // namespace undercroft::platform
