// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// PciMediator: which functions matter and where they are, as bus numbers change.
#include "hypervisor/core/log.hpp"
#include "hypervisor/platform/pci_mediator.hpp"

namespace undercroft::platform {

PciConfig& PciMediator::config(std::uint16_t segment)
{
    for (EcamRegion const& region : regions_)
        if (region.ecam_->segment().segment == segment)
            return *region.ecam_;
    return *ports_;
}

PciMediator::Tracked* PciMediator::find(Bdf function)
{
    for (Tracked& tracked : functions_)
        if (tracked.reachable && tracked.now == function)
            return &tracked;
    return nullptr;
}

PciMediator::Tracked* PciMediator::track(Bdf function, Role role)
{
    if (Tracked* const known = find(function))
        return known;
    if (functions_.size() == max_functions)
        return nullptr;
    functions_.push({});
    Tracked& tracked = functions_[functions_.size() - 1];
    tracked.role = role;
    tracked.now = function;
    tracked.path = bridges_above(config(function.segment), function);
    tracked.root_bus = tracked.path.empty() ? function.bus : tracked.path[0].bus;
    return &tracked;
}

bool PciMediator::track_bridges(Bdf function, bool above_card, FixedList<Bar, max_bars> const& card)
{
    PciConfig& access = config(function.segment);
    for (Bdf const bridge : bridges_above(access, function)) {
        Tracked* const tracked = track(bridge, Role::bridge);
        if (tracked == nullptr)
            return false;
        if (above_card) {
            tracked->above_card = true;
            tracked->guard.set_up(access, bridge, card);
        }
    }
    return true;
}

bool PciMediator::hide(Bdf function)
{
    PciConfig& access = config(function.segment);
    FixedList<Bar, max_bars> card;
    for (unsigned index = 0; index < max_bars;) {
        Bar const bar = size_bar(access, function, index);
        if (bar.kind != Bar::Kind::none)
            card.push(bar);
        index += bar.slots();
    }
    if (function.function == 0 && (access.read(function, pci_reg::header_type, 1) & 0x80) != 0) {
        Bdf other = function;
        for (other.function = 1; other.function < 8; ++other.function)
            placeholder_ = placeholder_ || identify(access, other).has_value();
    }
    hidden_vendor_ = static_cast<std::uint16_t>(access.read(function, pci_reg::vendor_id, 2));
    return track(function, Role::hidden) != nullptr && track_bridges(function, true, card);
}

bool PciMediator::watch(Bdf function)
{
    Tracked* const tracked = track(function, Role::storage);
    if (tracked == nullptr)
        return false;
    tracked->bars.set_up(config(function.segment), function);
    return track_bridges(function, false, {});
}

BarFollower const* PciMediator::bars(Bdf function) const
{
    for (Tracked const& tracked : functions_)
        if (tracked.role == Role::storage && tracked.now == function)
            return &tracked.bars;
    return nullptr;
}

bool PciMediator::ecam_base_in_host_bridge(Bdf host_bridge)
{
    constexpr std::uint64_t base_bits = 0x0000'ffff'fc00'0000, enable = 1;
    constexpr std::uint16_t intel = 0x8086;
    PciConfig& access = config(0);
    if (access.read(host_bridge, pci_reg::vendor_id, 2) != intel)
        return false;
    std::uint64_t const value =
        std::uint64_t{access.read(host_bridge, 0x64, 4)} << 32 | access.read(host_bridge, 0x60, 4);
    for (EcamRegion const& region : regions_)
        if (region.ecam_->segment().segment == 0 && (value & enable) != 0 && (value & base_bits) == region.base().value)
            return true;
    return false;
}

void PciMediator::start()
{
    if (ecam_base_in_host_bridge({}) && track({}, Role::host_bridge) == nullptr)
        core::log(core::LogLevel::warning, core::str("PCI: no room to watch the ECAM base"));
    latch_ = ports_->latched();
    pages_.clear();
    for (Tracked const& tracked : functions_)
        list_page(tracked.now);
}

void PciMediator::list_page(Bdf function)
{
    for (EcamRegion const& region : regions_) {
        EcamSegment const& segment = region.ecam_->segment();
        if (segment.segment != function.segment || function.bus < segment.start_bus || function.bus > segment.end_bus)
            continue;
        Gpa const page = region.base() + ecam_offset(function);
        bool listed = false;
        for (Gpa const other : pages_)
            listed = listed || other == page;
        if (!listed)
            pages_.push(page);
    }
}

/// Walks the bridges' secondary bus numbers as they are now (or will be) down to the function.
bool PciMediator::locate(Tracked const& tracked, Renumbering const* pending, Bdf& where)
{
    where = tracked.now;
    where.bus = tracked.root_bus;
    PciConfig& access = config(where.segment);
    for (Bdf bridge : tracked.path) {
        bridge.bus = where.bus;
        bool const is_pending = pending != nullptr && pending->bridge->now == bridge;
        auto const secondary =
            is_pending ? pending->secondary : static_cast<std::uint8_t>(access.read(bridge, pci_reg::secondary_bus, 1));
        // Bus numbers only grow downwards; 0 and all ones (absent) are no way to anywhere.
        if (secondary <= where.bus || secondary == 0xff)
            return false;
        where.bus = secondary;
    }
    return true;
}

void PciMediator::renumber(Tracked& bridge, Write const& write)
{
    Renumbering pending{&bridge, static_cast<std::uint8_t>(
                                     config(write.function.segment).read(write.function, pci_reg::secondary_bus, 1))};
    for (unsigned i = 0; i < write.width; ++i)
        if (write.offset + i == pci_reg::secondary_bus)
            pending.secondary = static_cast<std::uint8_t>(write.value >> (8 * i));
    Bdf where;
    for (Tracked const& tracked : functions_)
        if (locate(tracked, &pending, where))
            list_page(where);
    events_->ecam_pages_changed();
    perform(write);
    pages_.clear();
    for (Tracked& tracked : functions_) {
        tracked.reachable = locate(tracked, nullptr, where);
        if (!tracked.reachable)
            continue;
        tracked.now = where;
        list_page(where);
    }
    events_->ecam_pages_changed();
}

} // namespace undercroft::platform
