// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which port writes turn the machine off, put it to sleep or reset it, so that the sensor can
// send what it still holds before they happen.
#include <cstdint>

#include "hypervisor/platform/acpi.hpp"
#include "hypervisor/platform/fixed_list.hpp"

namespace undercroft::platform {

struct PortRange {
    std::uint16_t first;
    std::uint16_t count;
};

class PowerWatch {
public:
    /// Without a FADT only the PC's classic reset ports are watched.
    explicit PowerWatch(std::optional<Fadt> const& fadt);

    /// Ports whose writes must be intercepted; reads pass. An access that begins below a range and
    /// reaches into it is intercepted by hardware too, and judged here.
    [[nodiscard]] FixedList<PortRange, 8> const& ports() const { return ports_; }

    /// True when the write sleeps, powers off or resets. Sleep and power-off look alike without AML.
    [[nodiscard]] bool is_power_transition(std::uint16_t port, unsigned width, std::uint32_t value) const;

private:
    /// Judges one byte that reaches one port.
    struct Trigger {
        enum class Rule : std::uint8_t { any_bit_set, equals, keyboard_reset } rule;
        std::uint16_t port;
        std::uint8_t value;
    };
    void watch(Trigger const& trigger);
    void watch_sleep(AcpiAddress const& control);

    FixedList<PortRange, 8> ports_;
    FixedList<Trigger, 8> triggers_;
};

} // namespace undercroft::platform
