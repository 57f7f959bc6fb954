// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a virtio device on PCI has its registers: VIRTIO 1.2, 4.1.4 "Virtio Structure PCI Capabilities".
#include "hypervisor/platform/pci.hpp"

namespace undercroft::platform {

inline constexpr std::uint16_t virtio_vendor = 0x1af4;
/// A network device with the interface of virtio 1.0 and later only, and one that has the legacy one too (or alone).
inline constexpr std::uint16_t virtio_net_modern = 0x1041, virtio_net_transitional = 0x1000;

/// A piece of a memory BAR, as the device says: whether the BAR is that large is not looked at.
struct VirtioStructure {
    std::uint8_t bar = 0;
    std::uint32_t offset = 0, bytes = 0;
};

struct VirtioStructures {
    VirtioStructure common, notify, device;
    std::uint32_t notify_multiplier = 0; ///< bytes between two queues' doorbells
};

inline constexpr std::uint32_t virtio_common_bytes = 56; ///< up to and with queue_device: what every version has

[[nodiscard]] bool is_virtio_net(PciFunction const& function);

/// The structures in memory BARs (those in I/O BARs are passed over). Nothing: a device with the legacy interface only,
/// or one whose structures are too short or crooked.
[[nodiscard]] std::optional<VirtioStructures> find_virtio_structures(PciConfig& config, Bdf function);

} // namespace undercroft::platform
