// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One CPU under AMD SVM: satisfies backend::VirtualCpu. APM = AMD64 APM volume 2.
#include <atomic>
#include <cstdint>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/backend/svm/vmcb.hpp"
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::svm {

/// What the CPUs share; filled before the first CPU starts.
struct SharedState {
    std::uint8_t* iopm = nullptr;              ///< iopm_bytes, page aligned
    std::uint8_t* msrpm = nullptr;             ///< msrpm_bytes, page aligned
    std::atomic<std::uint64_t> nested_root{0}; ///< the guest's view; may change while CPUs run
    std::uint64_t open_root = 0; ///< the view of a CPU that single-steps an instruction nobody could emulate
    bool flush_by_asid = false;
};

/// Sets or clears the read and write intercept of one MSR.
void intercept_msr(std::uint8_t* msrpm, std::uint32_t number, bool read, bool write);
void intercept_port(std::uint8_t* iopm, std::uint16_t port, bool on);

class SvmCpu {
public:
    /// vmcb, host_save: one zeroed page each.
    void initialise(Vmcb* vmcb, void* host_save, SharedState const* shared);
    /// Switches SVM on and makes the caller's own state the guest's; `captured` is where it goes on.
    boot::StartResult capture(core::CapturedState const& captured);

    backend::Exit run();
    /// The guest writes its time-stamp counter: the sensor's own time goes on as before.
    void set_guest_tsc(std::uint64_t value) { vmcb_->tsc_offset = value - core::read_tsc(); }
    /// The guest's TSC minus the machine's.
    [[nodiscard]] std::uint64_t tsc_offset() const { return vmcb_->tsc_offset; }
    void set_tsc_offset(std::uint64_t offset) { vmcb_->tsc_offset = offset; }
    /// With GIF clear none is taken but on purpose.
    void note_nmi() {}
    backend::Registers& registers() { return registers_; }
    [[nodiscard]] std::uint64_t rip() const { return vmcb_->rip; }
    void set_rip(std::uint64_t rip)
    {
        vmcb_->rip = rip;
        vmcb_->interrupt_shadow = 0;
    }
    [[nodiscard]] backend::PagingState paging() const;
    [[nodiscard]] backend::SegmentState segment(backend::Segment which) const;
    void set_segment(backend::Segment which, backend::SegmentState state);
    void set_rflags(std::uint64_t rflags) { vmcb_->rflags = rflags; }
    [[nodiscard]] std::uint64_t rflags() const { return vmcb_->rflags; }
    [[nodiscard]] bool breakpoints_armed() const { return (vmcb_->dr7 & 0xFF) != 0; }
    [[nodiscard]] bool event_pending() const { return vmcb_->event_injection != 0; }
    void set_system_registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, std::uint64_t efer);
    void set_descriptor_tables(std::uint64_t gdt_base, std::uint64_t gdt_limit, std::uint64_t idt_base,
                               std::uint64_t idt_limit);
    void set_debug_and_activity_reset();
    [[nodiscard]] std::uint64_t guest_efer() const { return vmcb_->efer & ~efer_svme; }
    void set_guest_efer(std::uint64_t efer);
    void inject_undefined() { inject_exception(6, false, 0); }
    void inject_general_protection() { inject_exception(13, true, 0); }
    void deliver_protection_fault();
    void inject_stack_fault() { inject_exception(12, true, 0); }
    void inject_page_fault(std::uint64_t address, std::uint64_t error)
    {
        vmcb_->cr2 = address;
        inject_exception(14, true, static_cast<std::uint32_t>(error));
    }
    void intercept_halt(bool on);
    void intercept_interrupts(bool on);
    bool exit_when_interruptible();
    bool arm_timer(std::uint64_t /*ticks*/) { return false; }
    void single_step(bool on);
    void flush_nested();
    void consume_nmi();
    void inject_nmi() { vmcb_->event_injection = event::valid | event::type_nmi | 2; }
    [[nodiscard]] bool stepping() const { return stepping_; }
    [[nodiscard]] Vmcb const& vmcb() const { return *vmcb_; }

private:
    void inject_exception(std::uint8_t vector, bool has_error, std::uint32_t error);
    [[nodiscard]] backend::Exit classify() const;
    [[nodiscard]] bool faulted_in(std::uint8_t vector) const;
    void keep_interrupted_event();
    void deliver_virtual(std::uint8_t vector);
    void note_virtual_interrupt();
    void close_view();
    void finish_step();

    Vmcb* vmcb_ = nullptr;
    void* host_save_ = nullptr;
    SharedState const* shared_ = nullptr;
    TlbControl flush_command_ = TlbControl::flush_all;
    bool stepping_ = false;
    std::uint64_t guest_flags_ = 0; ///< TF and IF as the guest had them before a single step
    std::uint64_t guest_dr6_ = 0;   ///< likewise
    std::uint64_t guest_btf_ = 0;   ///< likewise
    backend::Registers registers_{};
};
static_assert(backend::VirtualCpu<SvmCpu>);

} // namespace undercroft::svm
