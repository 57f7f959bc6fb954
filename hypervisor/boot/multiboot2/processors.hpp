// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The other CPUs: woken by the loader, put under the sensor, and then left waiting for the operating system's start-up
// IPI, as the BIOS leaves them.
#include <cstdint>
#include <span>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/boot/multiboot2/low.hpp"
#include "hypervisor/platform/acpi.hpp"

namespace undercroft::multiboot2 {

class Processors {
public:
    explicit Processors(std::uint64_t tsc_hz) : tsc_hz_{tsc_hz} {}

    /// Starts each enabled CPU but this one; those that do not answer stay out. False: more than the core takes.
    [[nodiscard]] bool wake(LowBlock const& low, std::span<platform::MadtCpu const> cpus);
    /// CPUs that answer, this one included.
    [[nodiscard]] std::uint32_t count() const { return awake_ + 1; }
    /// CPUs that ought to be there and did not answer.
    [[nodiscard]] std::uint32_t silent() const { return silent_; }
    /// Lets all woken CPUs call the core. False: not all of them are under the sensor now.
    [[nodiscard]] bool enter(boot::CoreHeader const& core);
    /// Back to waiting for a start-up IPI: by an INIT, which the sensor carries out once this CPU is its guest.
    void park();

private:
    [[nodiscard]] bool is_awake(std::uint32_t apic_id) const;

    std::uint64_t tsc_hz_;
    std::uint32_t awake_ = 0, silent_ = 0;
    std::uint32_t apic_ids_[boot::max_cpus] = {};
};

} // namespace undercroft::multiboot2
