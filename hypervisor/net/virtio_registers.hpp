// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Registers and bits of a virtio network device on PCI: VIRTIO 1.2.
#include <cstddef>
#include <cstdint>

#include "base/reg.hpp"

namespace undercroft::net::virtio {

template <std::size_t Offset, typename T>
using Rw = Reg<Offset, T, Access::read_write>;
template <std::size_t Offset, typename T>
using Ro = Reg<Offset, T, Access::read_only>;

/// virtio_pci_common_cfg, 4.1.4.3. 64-bit fields are written as two halves (4.1.3.1).
using DeviceFeatureSelect = Rw<0x00, std::uint32_t>;
using DeviceFeature = Ro<0x04, std::uint32_t>;
using DriverFeatureSelect = Rw<0x08, std::uint32_t>;
using DriverFeature = Rw<0x0C, std::uint32_t>;
using ConfigMsixVector = Rw<0x10, std::uint16_t>;
using NumQueues = Ro<0x12, std::uint16_t>;
using DeviceStatus = Rw<0x14, std::uint8_t>;
using ConfigGeneration = Ro<0x15, std::uint8_t>;
using QueueSelect = Rw<0x16, std::uint16_t>;
using QueueSize = Rw<0x18, std::uint16_t>;
using QueueMsixVector = Rw<0x1A, std::uint16_t>;
using QueueEnable = Rw<0x1C, std::uint16_t>;
using QueueNotifyOff = Ro<0x1E, std::uint16_t>;
using QueueDescLow = Rw<0x20, std::uint32_t>;
using QueueDescHigh = Rw<0x24, std::uint32_t>;
using QueueDriverLow = Rw<0x28, std::uint32_t>;
using QueueDriverHigh = Rw<0x2C, std::uint32_t>;
using QueueDeviceLow = Rw<0x30, std::uint32_t>;
using QueueDeviceHigh = Rw<0x34, std::uint32_t>;
inline constexpr std::uint16_t no_vector = 0xFFFF;

/// virtio_net_config, 5.1.4.
inline constexpr std::size_t net_mac = 0;
using NetStatus = Ro<6, std::uint16_t>;
using NetMtu = Ro<10, std::uint16_t>;
inline constexpr std::uint16_t net_link_up = 1;

namespace status { // 2.1
inline constexpr std::uint8_t acknowledge = 1, driver = 2, driver_ok = 4, features_ok = 8, needs_reset = 64,
                              failed = 128;
}

namespace feature {                                          // 5.1.3, 6
inline constexpr std::uint64_t mtu = 1ULL << 3;              // the device says how large packets may be
inline constexpr std::uint64_t mac = 1ULL << 5;              // it has an address
inline constexpr std::uint64_t link_status = 1ULL << 16;     // it tells whether the link is up
inline constexpr std::uint64_t event_index = 1ULL << 29;     // each side says from which buffer on it wants to be told
inline constexpr std::uint64_t version_1 = 1ULL << 32;       // virtio 1.0 or later
inline constexpr std::uint64_t access_platform = 1ULL << 33; // addresses pass the platform's IOMMU, if there is one
inline constexpr std::uint64_t order_platform = 1ULL << 36;  // the device needs the platform's barriers: x86 has them
} // namespace feature

/// virtio_net_hdr with num_buffers, which virtio 1.0 always has (5.1.6): in front of each frame. All zero: no offload.
inline constexpr std::size_t header_bytes = 12;

inline constexpr std::uint16_t receive_queue = 0, transmit_queue = 1;

} // namespace undercroft::net::virtio
