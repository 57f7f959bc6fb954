// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor as a whole: what the boot route prepares and every CPU's exit loop uses.
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/control_bridge.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/devices.hpp"
#include "hypervisor/core/exit_services.hpp"
#include "hypervisor/core/failure.hpp"
#include "hypervisor/core/memory_watch.hpp"
#include "hypervisor/core/mmio_router.hpp"
#include "hypervisor/core/pci_guard.hpp"
#include "hypervisor/core/per_cpu.hpp"
#include "hypervisor/core/port_io.hpp"
#include "hypervisor/core/region.hpp"
#include "hypervisor/core/startup_watch.hpp"
#include "hypervisor/core/system_memory.hpp"
#include "hypervisor/paging/nested_table.hpp"
#include "hypervisor/paging/npt_format.hpp"
#include "hypervisor/paging/page_pool.hpp"
#include "hypervisor/platform/apic.hpp"
#include "hypervisor/platform/power.hpp"
#include "hypervisor/platform/shutdown_code.hpp"

namespace undercroft::core {

/// What lies in a trapped page but belongs to no handler: other registers pass, the
/// sensor's own memory and network card answer as if nothing were there.
class AbsentMemory final : public MmioBus {
public:
    AbsentMemory(SystemMemory const& memory, Counters& counters) : memory_{&memory}, counters_{&counters} {}
    [[nodiscard]] std::uint64_t load(std::uint64_t gpa, unsigned width) override;
    void store(std::uint64_t gpa, unsigned width, std::uint64_t value) override;

private:
    SystemMemory const* memory_;
    Counters* counters_;
};

/// The sensor's own page tables: the same format on both vendors.
using HostTable = paging::NestedTable<paging::NptFormat, paging::PagePool, TlbShootdown>;

class Machine final : public ExitServices,
                      public DeliveryHost,
                      private TrapControl,
                      private TlbShootdown,
                      private memory::ViewSwitch,
                      private memory::CpuHold,
                      private memory::DeviceWriteListener {
public:
    Machine();

    /// What the region must hold for this configuration, a multiple of 2 MiB.
    [[nodiscard]] static std::uint64_t required_bytes(Config const& config, std::uint32_t cpus, boot::RamExtent ram);
    /// Builds everything. Touches no CPU state; may be refused.
    boot::StartResult prepare(boot::BootInfo const& info);
    /// Makes the caller's state that CPU's guest. nullptr: refused, `result` says why.
    PerCpu* adopt(std::uint32_t index, CapturedState const& captured, boot::StartResult& result);
    [[noreturn]] void run(PerCpu& cpu);

    /// Sends a physical NMI to a CPU and notes it in its mailbox.
    void kick(PerCpu& target);
    /// Repeats an NMI to `target` until done(target) or it is about to look at its requests (bounded; logged when it is
    /// not).
    void call_until(PerCpu& target, bool (*done)(PerCpu&));
    void flush_all_cpus();
    [[nodiscard]] PerCpu* by_apic_id(std::uint32_t apic_id);
    [[nodiscard]] PerCpu* current();
    [[nodiscard]] std::span<PerCpu* const> cpus() const { return {cpus_.data(), cpu_count_}; }
    /// Every CPU runs the operating system: its local APIC needs no watching any more.
    void stop_startup_watch();
    /// A CPU is about to be started: INIT and SIPI must not reach the hardware.
    void resume_startup_watch();
    /// After a fault inside the sensor, on the CPU that had it.
    [[noreturn]] void sensor_failed();
    [[nodiscard]] Failure const& failure() const { return failure_; }
    [[nodiscard]] std::uint64_t utc_now_ns() const;
    [[nodiscard]] std::uint64_t ticks(std::uint64_t ms) const { return info_->tsc_hz / 1000 * ms; }
    [[nodiscard]] bool os_started() const { return os_started_.load(std::memory_order_acquire); }

    // ExitServices
    Counters& counters() override { return counters_; }
    GuestMemory& memory() override { return memory_; }
    MmioHandler& mmio() override { return router_; }
    [[nodiscard]] bool is_watched(Gpa gpa) override { return router_.lookup(gpa).has_value(); }
    [[nodiscard]] bool may_open(Gpa gpa) override;
    [[nodiscard]] std::uint32_t processor_signature() const override;
    [[nodiscard]] std::uint32_t port_read(std::uint16_t port, unsigned width) override;
    void port_write(std::uint16_t port, unsigned width, std::uint32_t value) override;
    [[nodiscard]] MsrAnswer msr_read(std::uint32_t number, std::uint64_t& value) override;
    [[nodiscard]] MsrAnswer msr_write(std::uint32_t number, std::uint64_t value) override;
    [[nodiscard]] bool wants_positions() const override { return memory_watch_.running(); }
    void note_exit(std::uint16_t cpu, std::uint64_t position) override;
    void note_away(std::uint64_t ticks) override;
    [[nodiscard]] bool memory_fault(backend::Exit const& exit, std::uint16_t cpu) override;
    void after_exit(std::uint16_t cpu) override;
    [[nodiscard]] bool hypercall(backend::Registers& registers, backend::PagingState const& paging) override;
    void after_open_step() override;
    [[nodiscard]] std::uint64_t efer_bits() const override;
    [[nodiscard]] bool has_skinit() const override;
    void efer_bits_set() override { note_bios_system("EFER"); }
    /// On a BIOS machine nothing tells that the operating system takes over but what it does first.
    void note_bios_system(std::string_view sign);
    [[nodiscard]] bool take_kick(Mailbox& mailbox) override;
    [[nodiscard]] bool take_wake(std::uint16_t cpu) override;
    void init_arrived() override;
    [[noreturn]] void guest_shutdown() override;

    // DeliveryHost
    [[nodiscard]] Tsc now() const override;
    [[nodiscard]] bool interrupt_waits() const override;
    [[nodiscard]] bool commands_outstanding() const override;
    [[nodiscard]] Tsc monitor_due() const override;
    void run_monitor(Tsc now) override;
    bool wake_by(Tsc due, Tsc now) override;

private:
    // ViewSwitch
    void use(memory::ViewUse use) override;

    // CpuHold
    [[nodiscard]] bool hold() override;
    void release() override;

    // DeviceWriteListener
    void before_device_write(memory::PageRange pages) override;

    // TlbShootdown
    void request_flush() override { flush_all_cpus(); }

    // TrapControl
    [[nodiscard]] bool set_trap(Gpa first, std::uint64_t bytes, Trap trap) override;
    void trap_ports(std::uint16_t first, unsigned count, bool on) override;

    void name_missing_features() const;
    [[nodiscard]] bool build_tables();
    [[nodiscard]] bool build_cpus();
    [[nodiscard]] bool build_intercepts();
    [[nodiscard]] boot::StartResult build_devices();
    [[nodiscard]] bool hide_card_registers();
    [[nodiscard]] bool watch_startup();
    [[nodiscard]] bool allow_apic_writes(bool allow);
    [[nodiscard]] MsrAnswer write_apic_base(std::uint64_t value);
    void wind_up();
    [[noreturn]] static void reset_machine();
    void start_system();
    /// Delivers what is left before the machine is switched off or reset (bounded).
    void drain_before_power_change();

    boot::BootInfo const* info_ = nullptr;
    Config config_;
    Region region_;
    Counters counters_;
    SystemMemory memory_;
    AbsentMemory absent_;
    MmioRouter router_;
    paging::PagePool pool_;
    backend::Vendor* vendor_ = nullptr;
    /// Of the monitored view: counted.
    class ViewShootdown final : public TlbShootdown {
    public:
        explicit ViewShootdown(Machine& machine) : machine_{&machine} {}
        void request_flush() override
        {
            machine_->counters_.add(wire::CounterId::memory_flushes);
            machine_->flush_all_cpus();
        }

    private:
        Machine* machine_;
    };
    ViewShootdown view_shootdown_{*this};
    MemoryWatch memory_watch_;
    GuestMap* guest_map_ = nullptr; ///< stepping, the watched controllers' registers may be written
    HostTable* host_ = nullptr;     ///< everything
    StartupWatch startup_watch_;
    Spinlock startup_lock_;
    std::array<PerCpu*, boot::max_cpus> cpus_{};
    std::uint32_t cpu_count_ = 0;
    std::atomic<bool> os_started_{false};
    bool watching_startup_ = true; ///< guarded by startup_lock_
    platform::ShutdownCode shutdown_code_;
    HardwarePortIo ports_;
    SystemClock clock_; ///< the firmware's time and the TSC
    platform::AcpiTables acpi_;
    platform::PowerWatch* power_ = nullptr;
    platform::PortPciConfig pci_{ports_};
    Devices* devices_ = nullptr;
    net::CardTimer* card_timer_ = nullptr; ///< calls CPU 0, where the processors have no timer for the sensor
    PciGuard* pci_guard_ = nullptr;
    ControlBridge* control_ = nullptr;
    Failure failure_;
    std::uint64_t acks_at_failed_drain_ = ~0ULL;
};

/// The one machine; constructed in place by the core's entry.
Machine& machine();

} // namespace undercroft::core
