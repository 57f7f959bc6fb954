// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Offsets and bits of the AHCI 1.3.1 register file that the mediator acts on. All other registers pass.
#include <cstdint>

namespace undercroft::ahci {

namespace hba {
inline constexpr std::uint32_t cap = 0x00;
inline constexpr std::uint32_t ghc = 0x04;
inline constexpr std::uint32_t is = 0x08;
inline constexpr std::uint32_t pi = 0x0c;
inline constexpr std::uint32_t cap_64_bit = 1U << 31;
inline constexpr std::uint32_t ghc_reset = 1U << 0;
inline constexpr std::uint32_t first_port = 0x100;
inline constexpr std::uint32_t port_bytes = 0x80;
inline constexpr unsigned max_ports = 32;
inline constexpr unsigned max_slots = 32;
} // namespace hba

/// Offsets from the start of a port's registers.
namespace px {
inline constexpr std::uint32_t clb = 0x00;
inline constexpr std::uint32_t clbu = 0x04;
inline constexpr std::uint32_t fb = 0x08;
inline constexpr std::uint32_t fbu = 0x0c;
inline constexpr std::uint32_t is = 0x10;
inline constexpr std::uint32_t cmd = 0x18;
inline constexpr std::uint32_t sctl = 0x2c;
inline constexpr std::uint32_t sact = 0x34;
inline constexpr std::uint32_t ci = 0x38;
inline constexpr std::uint32_t fbs = 0x40;

inline constexpr std::uint32_t cmd_start = 1U << 0;
inline constexpr std::uint32_t cmd_fis_receive = 1U << 4;
inline constexpr std::uint32_t sctl_detection = 0xf;
inline constexpr std::uint32_t sctl_comreset = 1;
inline constexpr std::uint32_t fbs_enable = 1U << 0;
} // namespace px

inline constexpr std::uint64_t command_list_bytes = 1024;
inline constexpr std::uint64_t received_fis_bytes = 256;
/// With FIS-based switching each of 16 devices has its own area.
inline constexpr std::uint64_t received_fis_switched_bytes = 4096;

} // namespace undercroft::ahci
