// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a machine is, as far as it matters to a sensor beneath its system. Read only, on Linux.
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/backend/vmx/capabilities.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::preflight {

enum class Maker : std::uint8_t { amd, intel, other };

struct Processor {
    Maker maker = Maker::other;
    std::string model;
    std::string hypervisor;      ///< what runs beneath this system ("a hypervisor" if it gives no name); empty: nothing
    bool virtualisation = false; ///< CPUID offers SVM or VT-x
    std::uint32_t svm_features = 0;
    bool pages_1g = false;
    unsigned address_bits = 36;
    bool offers_la57 = false, runs_la57 = false; ///< 5-level paging: the processor, the system now running
    bool invariant_tsc = false;
    bool memory_keys =
        false; ///< address bits choose an encryption key (AMD's SME, Intel's TME-MK, as the firmware set them)
    std::optional<std::uint64_t> vm_cr, feature_control; ///< nothing: not readable
    std::optional<vmx::Capabilities> vmx;
};

struct PciDevice {
    std::string address; ///< 0000:00:1f.2
    std::uint16_t vendor = 0xFFFF, device = 0xFFFF;
    std::uint32_t class_code = 0;        ///< class << 16 | subclass << 8 | interface
    std::string driver;                  ///< of the system now running; empty: none
    std::vector<std::string> interfaces; ///< network interfaces
    std::vector<std::string> disks;      ///< sda, nvme0n1
    std::optional<bool> virtio_modern;   ///< virtio-net only; nothing: not readable
};

/// Whatever its interface is.
[[nodiscard]] bool is_virtio_net(PciDevice const& device);

/// A network interface of the system.
struct Interface {
    std::string name;
    bool hardware = false;
    bool default_route = false;
};

/// Something that could not be read, and what reads it.
struct Unread {
    std::string what, how;
};

struct Facts {
    Processor processor;
    std::size_t cpus = 0; ///< present
    std::uint64_t memory_kib = 0;
    std::string clocksource;
    bool uefi = false;
    std::optional<bool> secure_boot;
    std::vector<PciDevice> pci;
    std::vector<Interface> interfaces;
    std::vector<std::string> iommus; ///< that the running system uses
    bool iommu_announced = false;    ///< by an ACPI table (DMAR, IVRS)
    std::vector<Unread> unread;
};

enum class MsrFailure : std::uint8_t { no_file, no_permission, refused };
using MsrValue = std::expected<std::uint64_t, MsrFailure>;

/// Where the facts come from. Tests give a folder and functions of their own.
struct Source {
    std::filesystem::path root;
    std::function<core::CpuidResult(std::uint32_t leaf, std::uint32_t subleaf)> cpuid;
    std::function<MsrValue(std::uint32_t number)> read_msr;
};
/// The machine that this program runs on.
[[nodiscard]] Source this_machine();

[[nodiscard]] Facts read_facts(Source const& source);

} // namespace undercroft::preflight
