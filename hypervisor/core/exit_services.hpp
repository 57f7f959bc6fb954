// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the exit loop needs from the rest of the sensor; the machine provides it on
// hardware, tests provide fakes.
#include <cstdint>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/port_io.hpp"
#include "hypervisor/core/startup.hpp"

namespace undercroft::core {

enum class MsrAnswer : std::uint8_t { done, fault };

class ExitServices {
public:
    virtual Counters& counters() = 0;
    virtual GuestMemory& memory() = 0;
    /// Answers for every guest-physical address that the guest may not touch directly; offset = address.
    virtual MmioHandler& mmio() = 0;
    /// mmio() has a device's own handler for it.
    [[nodiscard]] virtual bool is_watched(Gpa gpa) = 0;
    /// An instruction that cannot be emulated may be single-stepped on the real page.
    [[nodiscard]] virtual bool may_open(Gpa gpa) = 0;
    /// CPUID 1 EAX: what EDX holds after INIT.
    [[nodiscard]] virtual std::uint32_t processor_signature() const = 0;
    [[nodiscard]] virtual std::uint32_t port_read(std::uint16_t port, unsigned width) = 0;
    virtual void port_write(std::uint16_t port, unsigned width, std::uint32_t value) = 0;
    [[nodiscard]] virtual MsrAnswer msr_read(std::uint32_t number, std::uint64_t& value) = 0;
    [[nodiscard]] virtual MsrAnswer msr_write(std::uint32_t number, std::uint64_t value) = 0;
    /// After each exit, before anything is done about it: `position` is a number that only this state of the CPU's
    /// registers has.
    virtual void note_exit(std::uint16_t cpu, std::uint64_t position) { (void)cpu, (void)position; }
    /// The same: how long the CPU was away, by its time stamp counter.
    virtual void note_away(std::uint64_t ticks) { (void)ticks; }
    /// note_exit() and note_away() want to be called.
    [[nodiscard]] virtual bool wants_positions() const { return false; }
    /// A nested fault. True: the memory monitor has let the access through; the guest goes on.
    [[nodiscard]] virtual bool memory_fault(backend::Exit const& exit, std::uint16_t cpu)
    {
        (void)exit, (void)cpu;
        return false;
    }
    /// After each exit was dealt with.
    virtual void after_exit(std::uint16_t cpu) { (void)cpu; }
    /// False: the caller must see #UD, as on a machine without a hypervisor.
    [[nodiscard]] virtual bool hypercall(backend::Registers& registers, backend::PagingState const& paging) = 0;
    /// An instruction was single-stepped with every page open: look what it may have done unseen.
    virtual void after_open_step() = 0;
    /// The bits of EFER that the guest may set; SVME is never one of them.
    [[nodiscard]] virtual std::uint64_t efer_bits() const
    {
        return 1ULL << 0 | 1ULL << 8 | 1ULL << 10 | 1ULL << 11 | 1ULL << 13 | 1ULL << 14 | 1ULL << 15;
    }
    /// CPUID 80000001h ECX bit 12.
    [[nodiscard]] virtual bool has_skinit() const { return false; }
    /// The guest sets a bit of EFER: no BIOS and few boot loaders do, systems with 64-bit or no-execute pages begin so.
    virtual void efer_bits_set() {}
    /// Mailbox::take_kick with the time.
    [[nodiscard]] virtual bool take_kick(Mailbox& mailbox) = 0;
    /// The NMI may be what DeliveryHost::wake_by() has asked for.
    [[nodiscard]] virtual bool take_wake(std::uint16_t cpu)
    {
        (void)cpu;
        return false;
    }
    /// A hardware INIT has reached the guest's CPU: a SIPI will follow.
    virtual void init_arrived() {}
    /// The guest has triple-faulted; delivers what is left and resets the machine.
    [[noreturn]] virtual void guest_shutdown() = 0;

protected:
    ~ExitServices() = default;
};

/// The guest's ports as the machine answers for them.
class ServicePorts final : public PortIo {
public:
    explicit ServicePorts(ExitServices& services) : services_{&services} {}
    std::uint32_t load(std::uint16_t port, unsigned width) override { return services_->port_read(port, width); }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        services_->port_write(port, width, value);
    }

private:
    ExitServices* services_;
};

} // namespace undercroft::core
