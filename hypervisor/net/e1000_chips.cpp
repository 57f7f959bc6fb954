// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/e1000.hpp"

namespace undercroft::net {

using namespace e1000;

namespace {

/// The PCI members of the family differ by their number only.
constexpr E1000Chip pci_chip(std::uint16_t device, char const* name)
{
    return {.pci_device = device,
            .name = name,
            .pci_express = false,
            .control_set = control::set_link_up | control::auto_speed | control::full_duplex,
            .control_clear = control::force_speed | control::force_duplex | control::invert_loss_of_signal |
                             control::phy_reset | control::vlan_mode | control::link_reset,
            .transmit_gap = 10U | (8U << 10) | (6U << 20),
            .tx_descriptor_control = (1U << 24) | (1U << 16),
            .eeprom_done = 1U << 4,
            .eeprom_address_shift = 8};
}

constexpr E1000Chip chips[] = {
    {.pci_device = 0x10D3,
     .name = "82574L",
     .pci_express = true,
     .control_set = control::set_link_up | control::auto_speed | control::full_duplex,
     .control_clear = control::force_speed | control::force_duplex | control::invert_loss_of_signal |
                      control::phy_reset | control::vlan_mode,
     .transmit_gap = 8U | (8U << 10) | (6U << 20),
     // GRAN = descriptors, WTHRESH = 1: each descriptor is written back by itself; bit 22 is to be set on this family.
     .tx_descriptor_control = (1U << 24) | (1U << 22) | (1U << 16),
     .eeprom_done = 1U << 1,
     .eeprom_address_shift = 2},
    pci_chip(0x100E, "82540EM"),
    pci_chip(0x100F, "82545EM"),
};

} // namespace

E1000Chip const* find_e1000_chip(std::uint16_t vendor, std::uint16_t device)
{
    for (E1000Chip const& chip : chips)
        if (vendor == 0x8086 && device == chip.pci_device)
            return &chip;
    return nullptr;
}

} // namespace undercroft::net
