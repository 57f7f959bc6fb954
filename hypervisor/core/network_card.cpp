// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/network_card.hpp"

#include "hypervisor/core/local_apic.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/net/virtio_net.hpp"
#include "hypervisor/platform/msi.hpp"

namespace undercroft::core {

using boot::StartResult;

namespace {

/// Memory decoding and bus mastering on, INTx off; port decoding off, because a port window to
/// the registers could not be hidden from a guest that knows where it is.
void enable(platform::PciConfig& pci, platform::Bdf function)
{
    constexpr std::uint32_t intx_disable = 1U << 10;
    std::uint32_t const command =
        pci.read(function, platform::pci_reg::command, 2) & ~std::uint32_t{platform::pci_command::io};
    pci.write(function, platform::pci_reg::command, 2,
              command | platform::pci_command::memory | platform::pci_command::bus_master | intx_disable);
}

} // namespace

StartResult NetworkCard::take(platform::EthernetFunctions const& cards, Config const& config, platform::PciConfig& pci,
                              Region& region, SystemMemory& memory, Clock const& clock)
{
    if (StartResult const result = choose_nic(pci, cards, config, card_); result != StartResult::ok)
        return result;
    platform::BdfText text;
    log(LogLevel::info, str("network card at "), str(platform::name_of(card_.function.bdf, text)), str(": "),
        str(card_.name()));
    if (!find_windows(pci, memory))
        return StartResult::nic_failed;
    enable(pci, card_.function.bdf);
    taken_ = true;
    return card_.e1000 != nullptr ? start_e1000(config, region, clock) : start_virtio(config, region, clock);
}

bool NetworkCard::find_windows(platform::PciConfig& pci, SystemMemory& memory)
{
    for (unsigned index = 0; index < platform::max_bars;) {
        platform::Bar const bar = platform::size_bar(pci, card_.function.bdf, index);
        index += bar.slots();
        if (bar.kind == platform::Bar::Kind::none || bar.kind == platform::Bar::Kind::io || bar.base == 0 ||
            bar.size == 0)
            continue;
        if (!memory.reachable(Gpa{bar.base}, bar.size)) {
            log(LogLevel::error, str("the card's registers are out of the sensor's reach: "), hex(bar.base));
            return false;
        }
        windows_.push(bar);
        if (!memory.protect(Gpa{bar.base}, bar.size)) {
            log(LogLevel::error, str("the card has more register windows than can be protected"));
            return false;
        }
    }
    return true;
}

bool NetworkCard::locate(PhysicalBus& bus, unsigned index, std::uint64_t offset, std::uint64_t bytes) const
{
    for (platform::Bar const& window : windows_)
        if (window.index == index && offset <= window.size && bytes <= window.size - offset) {
            bus.set_base(window.base + offset);
            return true;
        }
    log(LogLevel::error, str("the card has no registers where they should be: BAR "), dec(index));
    return false;
}

StartResult NetworkCard::start_e1000(Config const& config, Region& region, Clock const& clock)
{
    std::size_t const bytes = net::E1000Memory::bytes(config.mtu);
    auto* const memory = static_cast<std::byte*>(region.allocate(bytes, page_bytes));
    if (memory == nullptr)
        return StartResult::out_of_memory;
    if (!locate(registers_, 0, 0, net::E1000::register_bytes))
        return StartResult::nic_failed;
    auto* const driver = region.make<net::E1000>(*card_.e1000, registers_, clock, std::span{memory, bytes}, config.mtu);
    driver_ = driver;
    if (driver == nullptr)
        return StartResult::out_of_memory;
    return driver->start() ? StartResult::ok : StartResult::nic_failed;
}

StartResult NetworkCard::start_virtio(Config const& config, Region& region, Clock const& clock)
{
    std::size_t const bytes = net::VirtioNetMemory::bytes(config.mtu);
    auto* const memory = static_cast<std::byte*>(region.allocate(bytes, page_bytes));
    if (memory == nullptr)
        return StartResult::out_of_memory;
    auto const& [common, notify, device, multiplier] = *card_.virtio;
    if (!locate(registers_, common.bar, common.offset, common.bytes) ||
        !locate(notify_, notify.bar, notify.offset, notify.bytes) ||
        !locate(device_, device.bar, device.offset, device.bytes))
        return StartResult::nic_failed;
    net::VirtioWindows const windows{&registers_, &notify_, &device_, notify.bytes, multiplier, device.bytes};
    auto* const driver = region.make<net::VirtioNet>(windows, clock, std::span{memory, bytes}, config.mtu);
    driver_ = driver;
    if (driver == nullptr)
        return StartResult::out_of_memory;
    return driver->start() ? StartResult::ok : StartResult::nic_failed;
}

net::CardTimer* NetworkCard::make_timer(platform::PciConfig& pci, Region& region, Clock const& clock)
{
    if (card_.e1000 == nullptr || !platform::call_by_nmi(pci, card_.function.bdf, local_apic_id()))
        return nullptr;
    return region.make<net::CardTimer>(registers_, clock.tsc_hz());
}

void NetworkCard::give_up(platform::PciConfig& pci)
{
    if (!taken_)
        return;
    platform::call_nobody(pci, card_.function.bdf);
    if (driver_ != nullptr)
        driver_->stop();
    auto const command = pci.read(card_.function.bdf, platform::pci_reg::command, 2);
    pci.write(card_.function.bdf, platform::pci_reg::command, 2,
              command & ~std::uint32_t{platform::pci_command::bus_master});
}

} // namespace undercroft::core
