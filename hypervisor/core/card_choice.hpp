// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which of the machine's network cards the sensor takes for itself.
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/net/e1000.hpp"
#include "hypervisor/platform/virtio_pci.hpp"

namespace undercroft::core {

/// An Ethernet function and the driver for it, if there is one.
struct NicCandidate {
    platform::PciFunction function;
    net::E1000Chip const* e1000 = nullptr;
    std::optional<platform::VirtioStructures> virtio;

    [[nodiscard]] bool has_driver() const { return e1000 != nullptr || virtio; }
    [[nodiscard]] char const* name() const
    {
        return e1000 != nullptr ? e1000->name : virtio ? "virtio-net" : "unknown";
    }
};

/// Fills in `chosen` when the result is ok. Otherwise the log says of each card why it was not taken.
[[nodiscard]] boot::StartResult choose_nic(platform::PciConfig& pci, platform::EthernetFunctions const& cards,
                                           Config const& config, NicCandidate& chosen);

} // namespace undercroft::core
