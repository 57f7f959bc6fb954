// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The executing CPU's own local APIC, in whichever mode the guest has put it.
#include <cstdint>

namespace undercroft::core {

[[nodiscard]] std::uint32_t local_apic_id();
/// Sends an interrupt by physical destination; `command` is the ICR's low half. The guest's half-written ICR, if any,
/// is kept.
void send_ipi(std::uint32_t apic_id, std::uint32_t command);
void send_nmi(std::uint32_t apic_id);
/// Some bit of the interrupt request register is set.
[[nodiscard]] bool local_apic_request_pending();
/// Physical address of the register page, 0 when the APIC is off or in x2APIC mode.
[[nodiscard]] std::uint64_t local_apic_page();

} // namespace undercroft::core
