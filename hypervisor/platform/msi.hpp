// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Message-signalled interrupts of the sensor's own devices. PCI 3.0, 6.8.1; Intel SDM volume 3A, 10.11 (AMD64 APM
// volume 2, 16.11 has the same form).
#include <cstdint>

#include "hypervisor/platform/pci.hpp"

namespace undercroft::platform {

/// From now on the function's interrupt is an NMI for that CPU. False, and nothing is changed: the function has no such
/// interrupts, has its MSI-X switched on, or the CPU's number does not fit.
[[nodiscard]] bool call_by_nmi(PciConfig& config, Bdf function, std::uint32_t apic_id);
/// Its message-signalled interrupts are off again.
void call_nobody(PciConfig& config, Bdf function);

} // namespace undercroft::platform
