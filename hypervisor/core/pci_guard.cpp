// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/pci_guard.hpp"

#include <new>

#include "hypervisor/core/log.hpp"

namespace undercroft::core {
namespace {

constexpr unsigned ahci_bar = 5;
constexpr std::uint8_t capability_sata = 0x12; // Serial ATA AHCI 1.3.1, 2.4

struct Pages {
    Gpa first;
    std::uint64_t bytes;
};
Pages pages_of(std::uint64_t base, std::uint64_t bytes)
{
    std::uint64_t const first = base & ~(page_bytes - 1);
    return {Gpa{first}, ((base + bytes + page_bytes - 1) & ~(page_bytes - 1)) - first};
}

} // namespace

bool PciGuard::start(platform::AcpiTables const& acpi)
{
    auto* const ecams = reinterpret_cast<platform::EcamPciConfig*>(ecam_memory_);
    for (std::size_t i = 0; i < acpi.ecam.size(); ++i) {
        ecam_buses_[i].set_base(acpi.ecam[i].base);
        mediator_.add_ecam(*new (ecams + i) platform::EcamPciConfig{ecam_buses_[i], acpi.ecam[i]});
    }
    if (!mediator_.hide(devices_->card().function().bdf))
        return false;
    for (std::size_t i = 0; i < devices_->hbas().size(); ++i)
        if (!watch_controller(i))
            return false;
    for (std::size_t i = 0; i < devices_->ides().size(); ++i) {
        platform::Bdf const function = devices_->ides()[i].function.bdf;
        if (!mediator_.watch(function) || mediator_.bars(function) == nullptr)
            return false;
        if (!ide_.start(i, *mediator_.bars(function))) {
            log(LogLevel::error, str("some ports of an IDE controller are another's: it is not watched there"));
            counters_->add(wire::CounterId::controllers_not_watched);
        }
    }
    mediator_.start();
    for (platform::EcamRegion& region : mediator_.ecam_regions())
        if (!router_->add({region.base(), region.bytes(), &region, false}))
            return false;
    traps_->trap_ports(0xCF8, 8, true);
    return set_traps();
}

bool PciGuard::watch_controller(std::size_t index)
{
    WatchedHba& hba = devices_->hbas()[index];
    if (!mediator_.watch(hba.function.bdf))
        return false;
    platform::BarFollower const* const bars = mediator_.bars(hba.function.bdf);
    if (bars == nullptr)
        return false;
    HardwarePortIo ports;
    platform::PortPciConfig config{ports};
    if (find_index_pair(config, index))
        for (std::size_t i = 0; i < bars->ranges().size(); ++i)
            if (bars->bar(i).index == pairs_[index].bar)
                move_index_pair(pairs_[index], bars->ranges()[i]);
    auto const route = router_->add({Gpa{hba.registers.base}, hba.registers.size, hba.mediator, true});
    if (!route)
        return false;
    hba.route = *route;
    return true;
}

bool PciGuard::find_index_pair(platform::PciConfig& config, std::size_t index)
{
    platform::Bdf const function = devices_->hbas()[index].function.bdf;
    std::uint8_t const capability = platform::find_capability(config, function, capability_sata);
    if (capability == 0)
        return false;
    std::uint32_t const location = config.read(function, static_cast<std::uint16_t>(capability + 4), 4);
    unsigned const bar = (location & 0xF) - 4; // 0100b is BAR0 ... 1001b BAR5; 1111b: in configuration space
    if (bar > 5)
        return false;
    pairs_[index] = {true, static_cast<std::uint8_t>(bar), static_cast<std::uint16_t>((location >> 4 & 0xFFFFF) * 4),
                     0};
    return true;
}

void PciGuard::move_index_pair(IndexPair& pair, platform::BarRange const& to)
{
    if (!pair.present || to.kind != platform::Bar::Kind::io)
        return;
    if (pair.port != 0)
        traps_->trap_ports(pair.port, pair_bytes, false);
    pair.port = to.enabled && to.base + pair.offset + pair_bytes <= 0x10000
                    ? static_cast<std::uint16_t>(to.base + pair.offset)
                    : std::uint16_t{0};
    if (pair.port != 0)
        traps_->trap_ports(pair.port, pair_bytes, true);
}

bool PciGuard::set_traps()
{
    for (WatchedHba const& hba : devices_->hbas()) {
        auto const [first, bytes] = pages_of(hba.registers.base, hba.registers.size);
        if (hba.registers.base != 0 && !traps_->set_trap(first, bytes, TrapControl::Trap::writes))
            return false;
    }
    for (Gpa const page : mediator_.ecam_pages())
        if (!traps_->set_trap(page, page_bytes, TrapControl::Trap::everything))
            return false;
    return true;
}

bool PciGuard::usable(WatchedHba const& hba, platform::BarRange const& place) const
{
    if (!place.enabled || place.base == 0 || place.size == 0 ||
        !devices_->memory().reachable(Gpa{place.base}, place.size))
        return false;
    auto const [first, bytes] = pages_of(place.base, place.size);
    if (devices_->memory().touches_sensor(first, bytes))
        return false;
    for (std::uint64_t at = 0; at < bytes; at += page_bytes)
        if (devices_->memory().view(first + at, 1) != nullptr)
            return false;
    bool taken = false;
    router_->for_each_overlap(first, bytes,
                              [&](MmioRouter::Range const& other) { taken = taken || other.handler != hba.mediator; });
    return !taken;
}

bool PciGuard::bar_may_move(platform::Bdf function, unsigned bar, platform::BarRange const& to)
{
    if (to.kind != platform::Bar::Kind::io)
        return true;
    auto const overlaps = [&](std::uint64_t first, std::uint64_t count) {
        return first < to.base + to.size && to.base < first + count;
    };
    if (overlaps(0xCF8, 8))
        return false;
    for (std::size_t i = 0; i < devices_->hbas().size(); ++i)
        if (pairs_[i].port != 0 && overlaps(pairs_[i].port, pair_bytes) &&
            !(devices_->hbas()[i].function.bdf == function && pairs_[i].bar == bar))
            return false;
    return ide_.may_move(function, bar, to);
}

void PciGuard::bar_about_to_move(platform::Bdf function, unsigned bar, platform::BarRange const& to)
{
    ide_.about_to_move(function, bar, to);
    if (bar != ahci_bar)
        return;
    for (WatchedHba const& hba : devices_->hbas())
        if (hba.function.bdf == function && usable(hba, to)) {
            auto const [first, bytes] = pages_of(to.base, to.size);
            if (!traps_->set_trap(first, bytes, TrapControl::Trap::writes))
                log(LogLevel::error, str("out of table pages: a moved controller may escape at "), hex(to.base));
        }
}

void PciGuard::bar_moved(platform::Bdf function, unsigned bar, platform::BarRange const& from,
                         platform::BarRange const& to)
{
    ide_.moved(function, bar, to);
    for (std::size_t i = 0; i < devices_->hbas().size(); ++i) {
        WatchedHba& hba = devices_->hbas()[i];
        if (hba.function.bdf != function)
            continue;
        if (bar == ahci_bar)
            move_registers(hba, from, to);
        if (pairs_[i].present && bar == pairs_[i].bar)
            move_index_pair(pairs_[i], to);
    }
}

void PciGuard::move_registers(WatchedHba& hba, platform::BarRange const& from, platform::BarRange const& to)
{
    if (!usable(hba, to)) {
        if (to.enabled)
            log(LogLevel::warning, str("AHCI registers aimed at memory or another device: "), hex(to.base));
        return; // nothing answers there, and nothing at the old place
    }
    if (to.base != hba.registers.base) {
        log(LogLevel::info, str("AHCI registers moved from "), hex(from.base), str(" to "), hex(to.base));
        auto const [first, bytes] = pages_of(hba.registers.base, hba.registers.size);
        if (!router_->move(hba.route, Gpa{to.base})) {
            log(LogLevel::error, str("the new place of the AHCI registers is taken"));
            return;
        }
        hba.bus.set_base(to.base);
        hba.registers.base = to.base;
        (void)traps_->set_trap(first, bytes, TrapControl::Trap::none);
        if (!set_traps()) // another watched page may lie where this one was
            log(LogLevel::error, str("out of table pages"));
    }
    hba.mediator->adopt();
}

void PciGuard::ecam_pages_changed()
{
    if (!set_traps())
        log(LogLevel::error, str("out of table pages: configuration pages are not trapped"));
}

PciGuard::IndexPair const* PciGuard::pair_at(std::uint16_t port, unsigned width, std::size_t& hba) const
{
    for (hba = 0; hba < pairs_.size(); ++hba) {
        IndexPair const& pair = pairs_[hba];
        if (pair.port != 0 && port < pair.port + pair_bytes && port + width > pair.port)
            return &pair;
    }
    return nullptr;
}

bool PciGuard::owns_port(std::uint16_t port, unsigned width) const
{
    std::size_t hba = 0;
    return (port < 0xD00 && port + width > 0xCF8) || pair_at(port, width, hba) != nullptr || ide_.owns(port, width);
}

std::uint32_t PciGuard::port_read(std::uint16_t port, unsigned width)
{
    std::size_t hba = 0;
    IndexPair const* const pair = pair_at(port, width, hba);
    if (pair != nullptr && port >= pair->port)
        return devices_->hbas()[hba].mediator->index_data_read(static_cast<unsigned>(port - pair->port), width);
    if (ide_.owns(port, width))
        return ide_.read(port, width);
    return mediator_.port_read(port, width);
}

void PciGuard::port_write(std::uint16_t port, unsigned width, std::uint32_t value)
{
    std::size_t hba = 0;
    IndexPair const* const pair = pair_at(port, width, hba);
    if (pair != nullptr && port >= pair->port)
        return devices_->hbas()[hba].mediator->index_data_write(static_cast<unsigned>(port - pair->port), width, value);
    if (ide_.owns(port, width))
        return ide_.write(port, width, value);
    mediator_.port_write(port, width, value);
}

} // namespace undercroft::core
