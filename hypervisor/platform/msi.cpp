// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/msi.hpp"

namespace undercroft::platform {
namespace {

constexpr std::uint8_t capability_msi = 0x05, capability_msix = 0x11;
// Of the MSI capability.
constexpr unsigned msi_control = 2, msi_address = 4, msi_data = 8;
constexpr std::uint32_t control_enable = 1U << 0, control_messages = 7U << 4, control_64_bit = 1U << 7;
constexpr std::uint32_t msix_enable = 1U << 15;
constexpr std::uint32_t message_address = 0xFEE0'0000, destination_shift = 12, delivery_nmi = 4U << 8;

} // namespace

bool call_by_nmi(PciConfig& config, Bdf function, std::uint32_t apic_id)
{
    std::uint8_t const at = find_capability(config, function, capability_msi);
    std::uint8_t const msix = find_capability(config, function, capability_msix);
    auto const place = [](std::uint8_t capability, unsigned offset) {
        return static_cast<std::uint16_t>(capability + offset);
    };
    if (at == 0 || at + msi_data + 6 > 256 || apic_id > 0xFF)
        return false;
    if (msix != 0 && (config.read(function, place(msix, 2), 2) & msix_enable) != 0)
        return false;
    std::uint32_t const control = config.read(function, place(at, msi_control), 2);
    unsigned const wide = (control & control_64_bit) != 0 ? 4 : 0;
    config.write(function, place(at, msi_address), 4, message_address | apic_id << destination_shift);
    if (wide != 0)
        config.write(function, place(at, msi_data), 4, 0);
    config.write(function, place(at, msi_data + wide), 2, delivery_nmi);
    config.write(function, place(at, msi_control), 2, (control & ~control_messages) | control_enable);
    return true;
}

void call_nobody(PciConfig& config, Bdf function)
{
    if (std::uint8_t const at = find_capability(config, function, capability_msi); at != 0) {
        auto const control = static_cast<std::uint16_t>(at + msi_control);
        config.write(function, control, 2, config.read(function, control, 2) & ~control_enable);
    }
}

} // namespace undercroft::platform
