// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a boot route (UEFI application, or GRUB on a BIOS machine) hands to the ELF core. Both sides are
// built together, so the layout carries a version only to catch mixed files.
#include <cstddef>
#include <cstdint>

/// The loader is built for UEFI's calling convention, the core for the System V one.
#define UC_SYSVABI __attribute__((sysv_abi))

namespace undercroft::boot {

inline constexpr std::uint64_t boot_info_magic = 0x31746f6f42666355; // "UcfBoot1"
inline constexpr std::size_t max_memory_ranges = 512;
inline constexpr std::size_t max_config_bytes = 16384;
inline constexpr std::size_t max_cpus = 256;
/// The core's image with its zeroed data; checked against the file before it is loaded.
inline constexpr std::size_t max_core_bytes = 16ULL << 20;

struct MemoryRange {
    std::uint64_t start; ///< guest-physical, page aligned
    std::uint64_t bytes;
};

/// Who started the core: it decides what tells that the operating system has taken over.
enum class BootRoute : std::uint32_t {
    uefi = 0, ///< the loader's hypercall when boot services end
    bios,     ///< the first bit that a CPU sets in EFER, or the first start-up IPI
};

struct BootInfo {
    std::uint64_t magic;
    std::uint64_t bytes;           ///< sizeof(BootInfo)
    std::uint64_t region_start;    ///< the sensor's own memory, 2 MiB aligned, reserved from the OS
    std::uint64_t region_bytes;    ///< a multiple of 2 MiB
    std::uint64_t free_start;      ///< first byte in the region that the loader has not used
    std::uint64_t rsdp;            ///< ACPI root pointer, 0 if none
    std::uint64_t tsc_hz;          ///< measured against the firmware's Stall, or the interval timer
    std::uint64_t firmware_utc_ns; ///< firmware clock at `firmware_tsc`
    std::uint64_t firmware_tsc;
    std::uint64_t boot_secret; ///< proves that the end-of-boot-services hypercall is the loader's
    std::uint64_t random_seed; ///< for fingerprints and cookies; the guest never sees it
    std::uint8_t boot_id[16];
    std::uint32_t cpus;          ///< CPUs that the loader will start the core on, boot CPU included
    std::uint32_t memory_ranges; ///< entries used in `memory`
    std::uint32_t config_bytes;
    BootRoute route;
    MemoryRange memory[max_memory_ranges]; ///< RAM as the firmware's map has it (the sensor's region excluded)
    char config[max_config_bytes];
};

/// What the core's entry points return to the loader.
enum class StartResult : std::uint32_t {
    ok = 0,
    bad_boot_info,
    no_virtualisation,       ///< neither AMD SVM nor Intel VT-x with all that the sensor needs
    virtualisation_disabled, ///< by the firmware: VM_CR.SVMDIS, IA32_FEATURE_CONTROL
    out_of_memory,           ///< region too small for the configuration
    bad_config,
    no_nic,
    no_disk_controller,
    unsupported_paging, ///< firmware runs with 5-level paging
    too_many_cpus,
    several_nics,           ///< more than one card fits `nic`
    nic_failed,             ///< the chosen card does not answer as it should
    too_many_memory_ranges, ///< of RAM (max_memory_ranges), or windows of the sensor's card
};

/// How much RAM there is, and where it ends; before the sensor's region is taken from it.
struct RamExtent {
    std::uint64_t bytes, end;
};
inline RamExtent ram_extent(MemoryRange const* ranges, std::size_t count)
{
    RamExtent extent{0, 0};
    for (std::size_t i = 0; i < count; ++i) {
        extent.bytes += ranges[i].bytes;
        if (std::uint64_t const end = ranges[i].start + ranges[i].bytes; end > extent.end)
            extent.end = end;
    }
    return extent;
}

/// What is wrong with the configuration file.
struct ConfigProblem {
    std::uint32_t line; ///< 1-based; 0: the file as a whole
    char message[120];  ///< zero terminated
};

/// Functions that the core exports to the loader; the ELF entry point is this table's address.
struct CoreHeader {
    std::uint64_t magic;
    /// Size of the region that this configuration needs, a multiple of 2 MiB; 0: the file is
    /// refused and *problem says why. May be called on a copy of the core anywhere in memory.
    std::uint64_t(UC_SYSVABI* required_bytes)(char const* config, std::uint32_t config_bytes, std::uint32_t cpus,
                                              RamExtent const* ram, ConfigProblem* problem);
    /// Once, on the boot CPU, before any CPU is started. Prepares everything; changes no CPU state.
    StartResult(UC_SYSVABI* prepare)(BootInfo const* info);
    /// On each CPU: puts the caller under the sensor and returns to it as a guest.
    StartResult(UC_SYSVABI* enter)(std::uint32_t cpu_index);
};
inline constexpr std::uint64_t core_header_magic = 0x32657243666355; // "UcfCre2"

/// RAX of the loader's hypercalls before the OS starts; RBX = boot_secret.
inline constexpr std::uint64_t hypercall_boot_services_ended = 0x3153424566635500;

} // namespace undercroft::boot
