// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Registers and descriptors that Intel's 8254x and 8257x gigabit controllers share.
// [82574]: 82574 GbE Controller Family Datasheet, chapter 10 (programming interface);
// [8254x]: PCI/PCI-X Family of Gigabit Ethernet Controllers SDM, chapter 13.
#include <cstddef>
#include <cstdint>

#include "base/reg.hpp"

namespace undercroft::net::e1000 {

template <std::size_t Offset>
using Rw = Reg<Offset, std::uint32_t, Access::read_write>;
template <std::size_t Offset>
using Ro = Reg<Offset, std::uint32_t, Access::read_only>;

using DeviceControl = Rw<0x00000>;  // CTRL: [82574] 10.2.2.1, [8254x] 13.4.1
using DeviceStatus = Ro<0x00008>;   // STATUS: [82574] 10.2.2.2, [8254x] 13.4.2
using EepromRead = Rw<0x00014>;     // EERD: [8254x] 13.4.4
using InterruptCause = Ro<0x000C0>; // ICR, cleared by reading: [8254x] 13.4.17
using InterruptCauseClear = Reg<0x000C0, std::uint32_t, Access::write_one_to_clear>; // ICR as well
using InterruptThrottle = Rw<0x000C4>;   // ITR, units of 256 ns: [8254x] 13.4.18
using InterruptCauseSet = Rw<0x000C8>;   // ICS: [8254x] 13.4.19
using InterruptMaskSet = Rw<0x000D0>;    // IMS: [8254x] 13.4.20
using InterruptMaskClear = Rw<0x000D8>;  // IMC: [8254x] 13.4.21
using ReceiveControl = Rw<0x00100>;      // RCTL: [8254x] 13.4.22
using TransmitControl = Rw<0x00400>;     // TCTL: [8254x] 13.4.33
using TransmitGap = Rw<0x00410>;         // TIPG: [8254x] 13.4.34
using RxBaseLow = Rw<0x02800>;           // RDBAL: [8254x] 13.4.25
using RxBaseHigh = Rw<0x02804>;          // RDBAH
using RxLength = Rw<0x02808>;            // RDLEN
using RxHead = Rw<0x02810>;              // RDH
using RxTail = Rw<0x02818>;              // RDT
using RxDelay = Rw<0x02820>;             // RDTR
using TxBaseLow = Rw<0x03800>;           // TDBAL: [8254x] 13.4.36
using TxBaseHigh = Rw<0x03804>;          // TDBAH
using TxLength = Rw<0x03808>;            // TDLEN
using TxHead = Rw<0x03810>;              // TDH: [8254x] 13.4.39
using TxTail = Rw<0x03818>;              // TDT: [8254x] 13.4.40
using TxDelay = Rw<0x03820>;             // TIDV: [8254x] 13.4.41
using TxDescriptorControl = Rw<0x03828>; // TXDCTL: [8254x] 13.4.43
using MissedPackets = Ro<0x04010>;       // MPC, cleared by reading
using ReceiveAddressLow = Rw<0x05400>;   // RAL(0): [8254x] 13.5.2
using ReceiveAddressHigh = Rw<0x05404>;  // RAH(0): [8254x] 13.5.3
/// MTA: 128 registers of the multicast hash table, [8254x] 13.5.1.
inline constexpr std::size_t multicast_table = 0x05200;
inline constexpr std::size_t multicast_registers = 128;

namespace control {
inline constexpr std::uint32_t full_duplex = 1U << 0;
inline constexpr std::uint32_t master_disable = 1U << 2; // PCI Express parts
inline constexpr std::uint32_t link_reset = 1U << 3;     // reserved on the 82574
inline constexpr std::uint32_t auto_speed = 1U << 5;
inline constexpr std::uint32_t set_link_up = 1U << 6;
inline constexpr std::uint32_t invert_loss_of_signal = 1U << 7;
inline constexpr std::uint32_t force_speed = 1U << 11;
inline constexpr std::uint32_t force_duplex = 1U << 12;
inline constexpr std::uint32_t reset = 1U << 26;
inline constexpr std::uint32_t vlan_mode = 1U << 30;
inline constexpr std::uint32_t phy_reset = 1U << 31;
} // namespace control

namespace status {
inline constexpr std::uint32_t link_up = 1U << 1;
inline constexpr std::uint32_t master_enabled = 1U << 19; // PCI Express parts
inline constexpr unsigned speed_shift = 6;                // two bits
} // namespace status

namespace receive {
inline constexpr std::uint32_t enable = 1U << 1;
inline constexpr std::uint32_t long_packets = 1U << 5;
inline constexpr std::uint32_t accept_broadcast = 1U << 15;
inline constexpr std::uint32_t size_2048 = 0U << 16;
inline constexpr std::uint32_t size_16384_extended = (1U << 16) | (1U << 25); // BSIZE = 01 with BSEX
inline constexpr std::uint32_t strip_crc = 1U << 26;
} // namespace receive

namespace transmit {
inline constexpr std::uint32_t enable = 1U << 1;
inline constexpr std::uint32_t pad_short = 1U << 3;
inline constexpr std::uint32_t collision_threshold = 0x0FU << 4;
inline constexpr std::uint32_t collision_distance_full_duplex = 0x40U << 12;
} // namespace transmit

inline constexpr std::uint32_t address_valid = 1U << 31; // RAH.AV

/// Legacy receive descriptor, [8254x] 3.2.3.
struct RxDescriptor {
    std::uint64_t address;
    std::uint16_t length;
    std::uint16_t checksum;
    std::uint8_t status;
    std::uint8_t errors;
    std::uint16_t special;
};
static_assert(offsetof(RxDescriptor, length) == 8);
static_assert(offsetof(RxDescriptor, status) == 12);
static_assert(sizeof(RxDescriptor) == 16);

/// Legacy transmit descriptor, [8254x] 3.3.3.
struct TxDescriptor {
    std::uint64_t address;
    std::uint16_t length;
    std::uint8_t checksum_offset;
    std::uint8_t command;
    std::uint8_t status;
    std::uint8_t checksum_start;
    std::uint16_t special;
};
static_assert(offsetof(TxDescriptor, command) == 11);
static_assert(offsetof(TxDescriptor, status) == 12);
static_assert(sizeof(TxDescriptor) == 16);

inline constexpr std::uint8_t descriptor_done = 1U << 0;
inline constexpr std::uint8_t rx_end_of_packet = 1U << 1;
/// CRC, symbol, sequence, carrier extension and data errors. The checksum errors (bits 5, 6) are
/// left out: the offload may be wrong, lwIP checks itself.
inline constexpr std::uint8_t rx_frame_errors = 0x97;
inline constexpr std::uint8_t tx_end_of_packet = 1U << 0;
inline constexpr std::uint8_t tx_insert_crc = 1U << 1;
inline constexpr std::uint8_t tx_report_status = 1U << 3;

} // namespace undercroft::net::e1000
