// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/card_choice.hpp"

#include "hypervisor/core/log.hpp"

namespace undercroft::core {
namespace {

NicCandidate examine(platform::PciConfig& pci, platform::PciFunction const& card)
{
    return {card, net::find_e1000_chip(card.vendor, card.device),
            platform::is_virtio_net(card) ? platform::find_virtio_structures(pci, card.bdf) : std::nullopt};
}

bool fits(NicCandidate const& card, Config const& config)
{
    platform::Bdf const address{config.nic_bus, config.nic_device, config.nic_function, 0};
    switch (config.nic) {
    case NicChoice::automatic:
    case NicChoice::first:
        return card.has_driver();
    case NicChoice::e1000:
        return card.e1000 != nullptr && !card.e1000->pci_express;
    case NicChoice::e1000e:
        return card.e1000 != nullptr && card.e1000->pci_express;
    case NicChoice::virtio:
        return card.virtio.has_value();
    case NicChoice::address:
        return card.has_driver() && card.function.bdf == address;
    }
    return false;
}

void report(NicCandidate const& card, bool fitting)
{
    platform::BdfText text;
    log(LogLevel::warning, str("network card at "), str(platform::name_of(card.function.bdf, text)), str(" ("),
        hex(card.function.vendor), str(":"), hex(card.function.device), str("): "),
        str(fitting                                  ? "fits, and is not the only one"
            : card.has_driver()                      ? "does not fit nic = ... in the configuration"
            : platform::is_virtio_net(card.function) ? "virtio-net with the legacy interface only: virtio 1.0 is needed"
                                                     : "no driver"));
}

} // namespace

boot::StartResult choose_nic(platform::PciConfig& pci, platform::EthernetFunctions const& cards, Config const& config,
                             NicCandidate& chosen)
{
    unsigned fitting = 0;
    for (platform::PciFunction const& function : cards) {
        NicCandidate const card = examine(pci, function);
        if (!fits(card, config) || ++fitting > 1)
            continue;
        chosen = card;
        if (config.nic == NicChoice::first)
            return boot::StartResult::ok;
    }
    if (fitting == 1)
        return boot::StartResult::ok;
    for (platform::PciFunction const& function : cards) {
        NicCandidate const card = examine(pci, function);
        report(card, fits(card, config));
    }
    if (cards.omitted() != 0)
        log(LogLevel::warning, dec(cards.omitted()), str(" more network cards were not looked at"));
    return fitting == 0 ? boot::StartResult::no_nic : boot::StartResult::several_nics;
}

} // namespace undercroft::core
