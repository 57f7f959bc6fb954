// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// An exit may come while an event is being delivered to the guest (IDT-vectoring information, Intel SDM
// vol. 3C, 25.9.3 and 28.2.4): the event must not get lost, and not come twice.
#include <cstdint>

#include "hypervisor/backend/vmx/vmcs.hpp"

namespace undercroft::vmx {

struct Vectoring {
    std::uint32_t info = 0;       ///< IDT-vectoring information field
    std::uint32_t error_code = 0; ///< valid with event::has_error_code
};

struct Reinjection {
    std::uint32_t info = 0; ///< VM-entry interruption information; 0: nothing to inject
    std::uint32_t error_code = 0;
    /// The NMI's delivery had blocked further NMIs; its second delivery needs them open.
    bool open_nmis = false;
    /// The exit undid an IRET that had already opened NMIs (28.2.3: "NMI unblocking due to IRET").
    bool block_nmis = false;
    bool operator==(Reinjection const&) const = default;
};

/// `iret_bit` is bit 12 of the exit's qualification (EPT violation) or event field (exception).
constexpr Reinjection judge_vectoring(Vectoring vectoring, bool iret_bit)
{
    Reinjection result;
    if ((vectoring.info & event::valid) == 0) {
        result.block_nmis = iret_bit; // the bit is undefined when an event was being delivered
        return result;
    }
    std::uint32_t const type = vectoring.info & event::type_mask;
    // INT n, INT1, INT3 and INTO are executed again: RIP is still at them.
    if (type == event::type_software_interrupt || type == event::type_privileged_software ||
        type == event::type_software_exception)
        return result;
    result.info = vectoring.info & (event::valid | event::has_error_code | event::type_mask | event::vector_mask);
    if ((vectoring.info & event::has_error_code) != 0)
        result.error_code = vectoring.error_code;
    result.open_nmis = type == event::type_nmi;
    return result;
}

} // namespace undercroft::vmx
