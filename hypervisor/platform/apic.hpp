// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Inter-processor interrupts: which CPUs an INIT or SIPI is for, so that the sensor emulates them
// instead of letting them reach a CPU under it. Everything else passes to the hardware.
// Intel SDM vol. 3A, 11.6.1 (ICR), 11.6.2 (destinations), 11.12.9-10 (x2APIC); AMD APM vol. 2, 16.5.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/platform/acpi.hpp"

namespace undercroft::platform {

enum class DeliveryMode : std::uint8_t { fixed, lowest_priority, smi, reserved, nmi, init, startup, external };
enum class Shorthand : std::uint8_t { none, self, all, all_but_self };

struct Icr {
    DeliveryMode mode = DeliveryMode::fixed;
    Shorthand shorthand = Shorthand::none;
    std::uint8_t vector = 0;
    bool logical = false;
    bool deassert = false; ///< level-triggered with level 0: only defined for INIT, where it does nothing
    bool x2apic = false;   ///< how `destination` is to be read
    std::uint32_t destination = 0;
};

/// Registers 300h and 310h of the xAPIC page; the write to 300h sends.
[[nodiscard]] Icr decode_xapic_icr(std::uint32_t low, std::uint32_t high);
/// MSR 830h.
[[nodiscard]] Icr decode_x2apic_icr(std::uint64_t value);
inline constexpr std::uint32_t msr_x2apic_icr = 0x830;

/// A set of CPU indexes.
class CpuSet {
public:
    void add(unsigned cpu) { words_[cpu / 64] |= std::uint64_t{1} << (cpu % 64); }
    [[nodiscard]] bool contains(unsigned cpu) const
    {
        return cpu < max_cpus && (words_[cpu / 64] >> (cpu % 64) & 1) != 0;
    }
    [[nodiscard]] bool empty() const
    {
        for (std::uint64_t const word : words_)
            if (word != 0)
                return false;
        return true;
    }
    bool operator==(CpuSet const&) const = default;

private:
    std::array<std::uint64_t, max_cpus / 64> words_{};
};

/// What the sensor does with a write to the ICR.
struct Ipi {
    enum class Action : std::uint8_t {
        pass,    ///< let the write reach the hardware
        swallow, ///< nothing happens: INIT de-assert, or no controlled CPU is meant
        init,    ///< StartupMailbox::post_init of each target
        startup, ///< StartupMailbox::post_startup of each target
    } action = Action::pass;
    std::uint8_t vector = 0;
    CpuSet targets;
};

/// Knows the CPUs under the sensor. add_cpu before they run; set_logical and judge on any CPU.
class IpiRouter {
public:
    /// False: no room. `cpu` is the sensor's own index.
    [[nodiscard]] bool add_cpu(unsigned cpu, std::uint32_t apic_id);
    /// The xAPIC's LDR and DFR of a CPU, at the start and after each write to them.
    void set_logical(unsigned cpu, std::uint32_t ldr, std::uint32_t dfr);
    /// For a write to the ICR on CPU `source`. A destination that no controlled CPU has is swallowed: an INIT or
    /// SIPI must not start a CPU outside the sensor.
    [[nodiscard]] Ipi judge(unsigned source, Icr const& icr) const;

private:
    struct Cpu {
        bool present = false;
        std::uint32_t apic_id = 0;
        std::atomic<std::uint32_t> ldr{0}, dfr{0xffffffff};
    };
    [[nodiscard]] bool is_destination(Cpu const& cpu, Icr const& icr) const;
    std::array<Cpu, max_cpus> cpus_;
};

/// What a CPU has to do with its own guest state.
struct StartupAction {
    enum class Kind : std::uint8_t {
        none,
        wait,         ///< INIT: put the guest CPU into the INIT state and call take() until it says start
        start,        ///< INIT state, then CS = vector << 8, RIP = 0: run
        reset_vector, ///< INIT to the bootstrap processor: it starts again at FFFFFFF0h
    } kind = Kind::none;
    std::uint8_t vector = 0;
};

/// One CPU's INIT and SIPI, posted by others and taken by itself. A SIPI that comes after an INIT but before its CPU
/// has noticed that INIT is kept; one for a running CPU is ignored, as hardware does.
class StartupMailbox {
public:
    /// \p bootstrap: INIT restarts it instead of making it wait.
    void set_bootstrap(bool bootstrap) { bootstrap_ = bootstrap; }
    /// For CPUs that are parked waiting when the sensor takes them over.
    void set_waiting() { state_.store(pack(Phase::waiting, false, 0), std::memory_order_release); }

    /// The target must then be brought out of the guest, so that it calls take().
    void post_init();
    /// True when the SIPI was kept (the target must look); false when it is ignored.
    bool post_startup(std::uint8_t vector);
    /// On the target CPU only.
    [[nodiscard]] StartupAction take();
    /// Something for take(), or waiting for a SIPI: the CPU must not run the guest.
    /// No INIT waits for take() any more.
    [[nodiscard]] bool init_taken() const
    {
        return static_cast<Phase>(state_.load(std::memory_order_acquire) & 0xFF) != Phase::init_posted;
    }
    [[nodiscard]] bool needs_attention() const { return state_.load(std::memory_order_acquire) != 0; }

private:
    enum class Phase : std::uint8_t { running = 0, init_posted = 1, waiting = 2 };
    static constexpr std::uint32_t startup_kept = 1U << 8;
    static constexpr std::uint32_t pack(Phase phase, bool kept, std::uint8_t vector)
    {
        return static_cast<std::uint32_t>(phase) | (kept ? startup_kept : 0) | static_cast<std::uint32_t>(vector) << 16;
    }
    std::atomic<std::uint32_t> state_{0};
    bool bootstrap_ = false;
};

} // namespace undercroft::platform
