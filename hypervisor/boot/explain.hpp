// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/boot/boot_info.hpp"

namespace undercroft::boot {

/// A StartResult as a boot route prints it: "undercroft: error: TEXT; ...".
inline char const* explain(StartResult result)
{
    switch (result) {
    case StartResult::ok:
        return "ok";
    case StartResult::bad_boot_info:
        return "the loader and core.elf are of different versions";
    case StartResult::no_virtualisation:
        return "this CPU offers neither AMD SVM with nested paging nor Intel VT-x with EPT and unrestricted guest";
    case StartResult::virtualisation_disabled:
        return "virtualisation is switched off in the firmware's setup (SVM / VT-x)";
    case StartResult::out_of_memory:
        return "not enough memory for this configuration (buffer_kib)";
    case StartResult::bad_config:
        return "the configuration was refused";
    case StartResult::no_nic:
        return "no network card found that a driver knows and that fits nic = ... in undercroft.conf";
    case StartResult::several_nics:
        return "more than one network card fits: name one with nic = pci:BB:DD.F in undercroft.conf";
    case StartResult::nic_failed:
        return "the network card cannot be used as it is; its log line says why";
    case StartResult::no_disk_controller:
        return "no AHCI controller found";
    case StartResult::unsupported_paging:
        return "the firmware runs with 5-level paging";
    case StartResult::too_many_cpus:
        return "more CPUs than supported";
    case StartResult::too_many_memory_ranges:
        return "the firmware's memory map is in more pieces than supported";
    }
    return "unknown error";
}

} // namespace undercroft::boot
