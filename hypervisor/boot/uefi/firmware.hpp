// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/boot/uefi/efi.hpp"

namespace undercroft::efi {

struct Buffer {
    std::uint8_t* data = nullptr;
    std::uint64_t bytes = 0;
};

/// What the loader asks of the firmware.
class Firmware {
public:
    Firmware(Handle image, SystemTable* system) : image_{image}, system_{system}, boot_{system->boot} {}

    /// Reads a file from the folder that holds the running image. data == nullptr: not there.
    [[nodiscard]] Buffer read_sibling(char16_t const* name);
    void free(Buffer& buffer);
    /// Memory of type reserved, aligned, zeroed, below 4 GiB when possible. 0: none.
    [[nodiscard]] std::uint64_t reserve(std::uint64_t bytes, std::uint64_t align);
    /// Takes the firmware's drivers off every supported network card, so that none of them
    /// still transfers into memory when the core takes the card over.
    void release_networks();
    /// Of the memory map as it is now. False: there is none that could be used.
    [[nodiscard]] bool measure_ram(boot::RamExtent& ram);
    /// Memory map, ACPI root, clocks, random numbers. False: the memory map does not fit.
    [[nodiscard]] bool describe(boot::BootInfo& info);

private:
    [[nodiscard]] bool add_memory(boot::BootInfo& info);
    void add_time(boot::BootInfo& info);
    [[nodiscard]] std::uint64_t measure_tsc_hz();
    void add_random(boot::BootInfo& info);

    Handle image_;
    SystemTable* system_;
    BootServices* boot_;
};

} // namespace undercroft::efi
