// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Contents of \EFI\undercroft\undercroft.conf: lines `name = value`, '#' comments.
// Keys and defaults are documented in docs/configuration.md.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace undercroft::core {

enum class CaptureMode : std::uint8_t { header = 0, content = 1 };
enum class Policy : std::uint8_t { drop = 0, hold = 1 };
/// Which card the sensor takes for itself. All but `first` must fit exactly one.
enum class NicChoice : std::uint8_t {
    automatic, ///< the only one that a driver knows
    first,     ///< the first one that a driver knows, in PCI order
    e1000,     ///< of Intel's PRO/1000 family, for PCI
    e1000e,    ///< of that family, for PCI Express
    virtio,    ///< virtio-net
    address    ///< the one at nic_bus, nic_device, nic_function
};
using Ipv4 = std::array<std::uint8_t, 4>;

struct Config {
    std::array<std::uint8_t, 16> machine_id{};  ///< machine_id = 32 hex digits (required)
    std::array<std::uint8_t, 32> key{};         ///< key = 64 hex digits, shared with the collector (required)
    std::array<std::uint8_t, 32> control_key{}; ///< control_key = 64 hex digits, for ucctl (required)
    bool capture_at_start = true;               ///< capture = on | off
    CaptureMode mode = CaptureMode::content;    ///< mode = header | content
    Policy policy = Policy::drop;               ///< policy = drop | hold
    std::uint32_t buffer_kib = 65536;           ///< buffer_kib = 64 ... 4194304
    bool dhcp = true;                           ///< address = dhcp | a.b.c.d
    Ipv4 address{}, netmask{255, 255, 255, 0}, gateway{};
    Ipv4 collector{}; ///< collector = a.b.c.d:port (required)
    std::uint16_t collector_port = 0;
    Ipv4 sntp_server{}; ///< sntp = a.b.c.d[:port] | off (default: off)
    std::uint16_t sntp_port = 123;
    bool sntp = false;
    std::uint32_t sntp_interval_s = 60;   ///< sntp_interval_s = 1 ... 86400
    std::uint16_t mtu = 1500;             ///< mtu = 576 ... 9000
    NicChoice nic = NicChoice::automatic; ///< nic = auto | first | e1000 | e1000e | virtio | pci:BB:DD.F
    std::uint8_t nic_bus = 0, nic_device = 0, nic_function = 0;
    std::uint16_t log_port = 0;             ///< log_serial = off | 0x3e8 (I/O port of a 16550)
    std::uint8_t log_level = 2;             ///< log_level = error | warning | info | debug
    bool memory = true;                     ///< memory = on | off: tables for the memory monitor are set aside
    std::uint32_t memory_buffer_kib = 8192; ///< memory_buffer_kib = 256 ... 4194304, of the memory stream
    std::uint32_t send_delay_ms = 10;       ///< send_delay_ms = 1 ... 100, longest time a record waits for company
};

struct ConfigError {
    unsigned line = 0;   ///< 1-based; 0: the file as a whole
    char message[120]{}; ///< says what is wrong and what is allowed, zero terminated
};

/// Parses the whole file. False: `error` says why; `config` is unspecified. Unknown
/// names are errors (a typing mistake must not silently change what is captured).
[[nodiscard]] bool parse_config(std::string_view text, Config& config, ConfigError& error);

} // namespace undercroft::core
