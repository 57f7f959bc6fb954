// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/power.hpp"

#include "hypervisor/core/log.hpp"

namespace undercroft::platform {
namespace {

constexpr std::uint16_t keyboard_command_port = 0x64;
constexpr std::uint16_t system_control_port_a = 0x92; ///< bit 0: fast INIT
constexpr std::uint16_t reset_control_port = 0xcf9;   ///< bit 2: reset CPU
/// PM1 control, ACPI 6.4, 4.8.3.2.1: SLP_EN is bit 13, so it lies in the second byte.
constexpr std::uint8_t sleep_enable_high = 1U << 5;

bool is_port(AcpiAddress const& address)
{
    return address.space == AcpiAddress::Space::io && address.address != 0 && address.address < 0xffff;
}

} // namespace

PowerWatch::PowerWatch(std::optional<Fadt> const& fadt)
{
    using Rule = Trigger::Rule;
    watch({Rule::any_bit_set, reset_control_port, 1U << 2});
    watch({Rule::any_bit_set, system_control_port_a, 1U << 0});
    watch({Rule::keyboard_reset, keyboard_command_port, 0});
    if (!fadt)
        return;
    watch_sleep(fadt->pm1a_control);
    watch_sleep(fadt->pm1b_control);
    // Hardware-reduced SLEEP_CONTROL_REG, ACPI 6.4, 4.8.3.7: SLP_EN is bit 5.
    if (is_port(fadt->sleep_control))
        watch({Rule::any_bit_set, static_cast<std::uint16_t>(fadt->sleep_control.address), 1U << 5});
    if (fadt->reset && is_port(*fadt->reset))
        watch({Rule::equals, static_cast<std::uint16_t>(fadt->reset->address), fadt->reset_value});
    else if (fadt->reset)
        core::log(core::LogLevel::info,
                  core::str("ACPI reset register is not a port: resets by it are not seen beforehand"));
}

void PowerWatch::watch_sleep(AcpiAddress const& control)
{
    if (is_port(control))
        watch({Trigger::Rule::any_bit_set, static_cast<std::uint16_t>(control.address + 1), sleep_enable_high});
    else if (control.address != 0)
        core::log(core::LogLevel::info, core::str("ACPI PM1 control is not a port: power-off is not seen beforehand"));
}

void PowerWatch::watch(Trigger const& trigger)
{
    triggers_.push(trigger);
    for (PortRange const& range : ports_)
        if (range.first == trigger.port)
            return;
    ports_.push({trigger.port, 1});
}

bool PowerWatch::is_power_transition(std::uint16_t port, unsigned width, std::uint32_t value) const
{
    // Four bytes at CF8h are PCI's address register, not the reset register inside it (CF9h).
    if (port == 0xcf8 && width == 4)
        return false;
    for (Trigger const& trigger : triggers_) {
        if (trigger.port < port || trigger.port - port >= static_cast<int>(width))
            continue;
        auto const byte = static_cast<std::uint8_t>(value >> (8 * (trigger.port - port)));
        switch (trigger.rule) {
        case Trigger::Rule::any_bit_set:
            if ((byte & trigger.value) != 0)
                return true;
            break;
        case Trigger::Rule::equals:
            if (byte == trigger.value)
                return true;
            break;
        case Trigger::Rule::keyboard_reset:
            // Commands F0h-FFh pulse the output lines whose bits are 0; line 0 is the CPU's reset.
            if (byte >= 0xf0 && (byte & 1) == 0)
                return true;
            break;
        }
    }
    return false;
}

} // namespace undercroft::platform
