// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One CPU under Intel VT-x: satisfies backend::VirtualCpu. SDM = Intel SDM volume 3C.
// Hw executes the instructions (hardware.hpp); the host tests give a model.
#include <atomic>
#include <cstdint>

#include "hypervisor/backend/backend.hpp"
#include "hypervisor/backend/vmx/capabilities.hpp"
#include "hypervisor/backend/vmx/hardware.hpp"
#include "hypervisor/backend/vmx/reinjection.hpp"
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/host_environment.hpp"

namespace undercroft::vmx {

/// What the CPUs share; filled before the first CPU starts.
struct SharedState {
    Capabilities offered;
    Controls controls;
    std::uint8_t* io_bitmaps = nullptr;            ///< io_bitmap_bytes, page aligned
    std::uint8_t* msr_bitmap = nullptr;            ///< msr_bitmap_bytes, page aligned
    std::atomic<std::uint64_t> running_pointer{0}; ///< EPT pointer of the guest's view; may change while CPUs run
    std::uint64_t stepping_pointer = 0;            ///< of a CPU that single-steps an instruction nobody could emulate
    std::uint64_t host_root = 0;                   ///< the sensor's own page tables
    core::HostTables host_tables{};
    core::GuestMemory* memory = nullptr;
};

template <typename Hw>
class BasicVmxCpu {
public:
    /// vmxon, vmcs: one zeroed page each.
    void initialise(void* vmxon, void* vmcs, SharedState const* shared);
    /// Switches VMX on and makes the caller's own state the guest's; `captured` is where it goes on.
    boot::StartResult capture(core::CapturedState const& captured);

    backend::Exit run();
    /// The guest writes its time-stamp counter: the sensor's own time goes on as before.
    void set_guest_tsc(std::uint64_t value) { set_tsc_offset(value - hw_.tsc()); }
    void set_tsc_offset(std::uint64_t offset) { hw_.write(Field::tsc_offset, tsc_offset_ = offset); }
    /// The guest's TSC minus the machine's.
    [[nodiscard]] std::uint64_t tsc_offset() const { return tsc_offset_; }
    /// An NMI was taken by the sensor's own handler, which calls this: run() hands it on.
    void note_nmi();

    backend::Registers& registers() { return registers_; }
    [[nodiscard]] std::uint64_t rip() const { return hw_.read(Field::guest_rip); }
    void set_rip(std::uint64_t rip);
    [[nodiscard]] backend::PagingState paging() const;
    [[nodiscard]] backend::SegmentState segment(backend::Segment which) const;
    void set_segment(backend::Segment which, backend::SegmentState state);
    void set_rflags(std::uint64_t rflags) { hw_.write(Field::guest_rflags, rflags); }
    [[nodiscard]] std::uint64_t rflags() const { return hw_.read(Field::guest_rflags); }
    [[nodiscard]] bool breakpoints_armed() const { return (hw_.read(Field::guest_dr7) & 0xFF) != 0; }
    [[nodiscard]] bool event_pending() const { return event_ != 0; }
    void set_system_registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, std::uint64_t efer);
    void set_descriptor_tables(std::uint64_t gdt_base, std::uint64_t gdt_limit, std::uint64_t idt_base,
                               std::uint64_t idt_limit);
    void set_debug_and_activity_reset();
    [[nodiscard]] std::uint64_t guest_efer() const { return hw_.read(Field::guest_efer); }
    void set_guest_efer(std::uint64_t efer);
    void inject_undefined() { inject_exception(6, false, 0); }
    void inject_general_protection() { inject_exception(13, true, 0); }
    void deliver_protection_fault() {} // #GP does not exit here
    void inject_stack_fault() { inject_exception(12, true, 0); }
    void inject_page_fault(std::uint64_t address, std::uint64_t error_code)
    {
        hw_.set_cr2(address);
        inject_exception(14, true, static_cast<std::uint32_t>(error_code));
    }
    void intercept_halt(bool on);
    void intercept_interrupts(bool on);
    bool exit_when_interruptible() { return false; } // its window comes before interrupts that wait already
    bool arm_timer(std::uint64_t ticks);
    void single_step(bool on);
    void flush_nested();
    void consume_nmi() { hw_.open_nmis(); }
    void inject_nmi();
    [[nodiscard]] Hw& hardware() { return hw_; }

private:
    // vmx_state.hpp
    bool switch_on();
    void write_controls();
    void write_host_state();
    void write_guest_state(core::CapturedState const& captured);
    void write_segment(backend::Segment which, std::uint16_t selector, core::TablePointer const& gdt);
    void set_paging_mode(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer);
    bool load_pdptes(std::uint64_t cr3);
    void flush_guest_translations();
    void update_pin() { hw_.write(Field::pin_controls, pin_); }
    void update_primary() { hw_.write(Field::primary_controls, primary_); }
    [[nodiscard]] std::uint64_t cr0_owned() const;
    [[nodiscard]] std::uint64_t cr4_owned() const;

    // vmx_run.hpp
    void prepare_entry();
    void keep_interrupted_event(std::uint32_t why);
    [[nodiscard]] backend::Exit classify(std::uint32_t why);
    [[nodiscard]] backend::Exit entry_failure(std::uint32_t why);
    [[nodiscard]] backend::Exit classify_nested_fault();
    void describe_port(backend::Exit& exit) const;
    [[nodiscard]] bool take_noted_nmi();
    void open_nmi_window();
    void close_nmi_window();
    [[nodiscard]] std::uint64_t next_rip() const;
    void inject_exception(std::uint8_t vector, bool has_error, std::uint32_t error);
    void finish_step(std::uint32_t why);
    void close_view();

    // vmx_emulate.hpp
    void emulate_cpuid();
    void emulate_xsetbv();
    void emulate_control_register();
    bool move_to_cr0(std::uint64_t value);

    [[no_unique_address]] Hw hw_;
    void* vmxon_ = nullptr;
    void* vmcs_ = nullptr;
    SharedState const* shared_ = nullptr;
    bool launched_ = false;
    bool stepping_ = false;
    bool timer_armed_ = false;
    bool nmi_pending_ = false;                 ///< the guest's own, waits for its window
    std::atomic<std::uint32_t> nmis_taken_{0}; ///< by the sensor's handler, not yet handed on
    std::uint32_t pin_ = 0, primary_ = 0;
    std::uint32_t event_ = 0, event_error_ = 0; ///< for the next entry
    std::uint64_t rsp_ = 0;                     ///< as the VMCS has it
    std::uint64_t deadline_ = 0;                ///< TSC
    std::uint64_t tsc_offset_ = 0;
    std::uint64_t guest_flags_ = 0; ///< TF and IF as the guest had them before a single step
    std::uint64_t guest_btf_ = 0;   ///< likewise
    backend::Registers registers_{};
};

using VmxCpu = BasicVmxCpu<Hardware>;

} // namespace undercroft::vmx
