// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor as a whole: what the boot route prepares and every CPU's exit loop uses.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/backend/svm/svm_cpu.hpp"
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/exit_services.hpp"
#include "hypervisor/core/mmio_router.hpp"
#include "hypervisor/core/per_cpu.hpp"
#include "hypervisor/core/region.hpp"
#include "hypervisor/core/startup_watch.hpp"
#include "hypervisor/core/system_memory.hpp"
#include "hypervisor/paging/nested_table.hpp"
#include "hypervisor/paging/npt_format.hpp"
#include "hypervisor/paging/page_pool.hpp"

namespace undercroft::core {

class Machine;

/// Table changes that take rights away reach every CPU before the change counts as made.
class TlbShootdown {
public:
    explicit TlbShootdown(Machine& machine) : machine_{&machine} {}
    void request_flush();

private:
    Machine* machine_;
};

using NestedTable = paging::NestedTable<paging::NptFormat, paging::PagePool, TlbShootdown>;

class Machine final : public ExitServices, public DeliveryHost {
public:
    Machine();

    /// Builds everything. Touches no CPU state; may be refused.
    boot::StartResult prepare(boot::BootInfo const& info);
    /// Makes the caller's state that CPU's guest. nullptr: no such CPU.
    PerCpu* adopt(std::uint32_t index, CapturedState const& captured);
    [[noreturn]] void run(PerCpu& cpu);

    /// Sends a physical NMI to a CPU and notes it in its mailbox.
    void kick(PerCpu& target);
    /// Posts to a CPU's mailbox and waits until it has looked (bounded).
    void post_and_wait(PerCpu& target, std::uint32_t request);
    void flush_all_cpus();
    [[nodiscard]] PerCpu* by_apic_id(std::uint32_t apic_id);
    [[nodiscard]] PerCpu* current();
    [[nodiscard]] std::span<PerCpu* const> cpus() const { return {cpus_.data(), cpu_count_}; }
    [[nodiscard]] bool os_started() const { return os_started_.load(std::memory_order_acquire); }

    // ExitServices
    Counters& counters() override { return counters_; }
    GuestMemory& memory() override { return memory_; }
    [[nodiscard]] bool find_owner(Gpa gpa, MmioOwner& owner) override;
    [[nodiscard]] std::uint32_t port_read(std::uint16_t port, unsigned width) override;
    void port_write(std::uint16_t port, unsigned width, std::uint32_t value) override;
    [[nodiscard]] MsrAnswer msr_read(std::uint32_t number, std::uint64_t& value) override;
    [[nodiscard]] MsrAnswer msr_write(std::uint32_t number, std::uint64_t value) override;
    [[nodiscard]] bool hypercall(backend::Registers& registers, backend::PagingState const& paging) override;
    void after_open_step() override;
    [[nodiscard]] bool kicked_recently(Mailbox const& mailbox) override;
    [[noreturn]] void guest_shutdown() override;

    // DeliveryHost
    [[nodiscard]] Tsc now() const override;
    [[nodiscard]] bool interrupt_waits() const override;
    [[nodiscard]] bool commands_outstanding() const override;

private:
    bool build_tables();
    bool build_cpus();
    void choose_intercepts();

    boot::BootInfo const* info_ = nullptr;
    Config config_;
    Region region_;
    Counters counters_;
    SystemMemory memory_;
    MmioRouter router_;
    paging::PagePool pool_;
    TlbShootdown shootdown_;
    NestedTable* nested_ = nullptr;   ///< the guest's view
    NestedTable* open_ = nullptr;     ///< the view while single-stepping: everything but the sensor
    NestedTable* host_ = nullptr;     ///< the sensor's own page tables: everything
    Spinlock tables_lock_;
    svm::SharedState svm_;
    StartupWatch startup_watch_;
    std::array<PerCpu*, boot::max_cpus> cpus_{};
    std::uint32_t cpu_count_ = 0;
    std::atomic<bool> os_started_{false};
};

/// The one machine; constructed in place by the core's entry.
Machine& machine();

} // namespace undercroft::core
