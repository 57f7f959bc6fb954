// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// BasicVmxCpu: how a CPU becomes a guest, and its state between exits.
#include "hypervisor/backend/captured.hpp"
#include "hypervisor/backend/vmx/unguarded_writes.hpp"
#include "hypervisor/backend/vmx/vmx_cpu.hpp"

namespace undercroft::vmx {

inline constexpr std::uint16_t the_vpid = 1;
inline constexpr std::uint32_t rights_unusable = 1U << 16;
inline constexpr std::uint64_t trap_flag = 1U << 8, interrupt_flag = 1U << 9, single_step_bit = 1U << 14;

/// Descriptor bits 40-47 and 52-55 in the VMCS's place for them, and the contract's (backend.hpp).
constexpr std::uint32_t rights_of(std::uint16_t attributes)
{
    std::uint32_t const rights = (attributes & 0xFFU) | (attributes & 0xF00U) << 4;
    return (attributes & 0x80) != 0 ? rights : (rights & 0x60) | rights_unusable;
}
constexpr std::uint16_t attributes_of(std::uint32_t rights)
{
    if ((rights & rights_unusable) != 0)
        rights &= 0x60; // SS.DPL is the privilege level even so
    return static_cast<std::uint16_t>((rights & 0xFF) | (rights >> 4 & 0xF00));
}
static_assert(rights_of(0xA9B) == 0xA09B && attributes_of(0xA09B) == 0xA9B);
static_assert(rights_of(0) == 0x10000 && attributes_of(0x1C0F3) == 0x60);

template <typename Hw>
void BasicVmxCpu<Hw>::initialise(void* vmxon, void* vmcs, SharedState const* shared)
{
    vmxon_ = vmxon;
    vmcs_ = vmcs;
    shared_ = shared;
    for (void* const page : {vmxon, vmcs}) {
        std::uint32_t const revision = shared->offered.revision();
        __builtin_memcpy(page, &revision, sizeof(revision));
    }
}

template <typename Hw>
bool BasicVmxCpu<Hw>::switch_on()
{
    std::uint64_t const feature_control = hw_.read_msr(msr::feature_control);
    if ((feature_control & feature_lock) == 0)
        hw_.write_msr(msr::feature_control, feature_control | feature_lock | feature_vmx);
    else if ((feature_control & feature_vmx) == 0)
        return false;
    stop_unguarded(hw_);
    Capabilities const& c = shared_->offered;
    hw_.set_cr0((hw_.cr0() | c.cr0_fixed0) & c.cr0_fixed1);
    hw_.set_cr4((hw_.cr4() | c.cr4_fixed0 | cr4_vmxe) & c.cr4_fixed1);
    auto const vmcs = reinterpret_cast<std::uint64_t>(vmcs_);
    return hw_.vmxon(reinterpret_cast<std::uint64_t>(vmxon_)) && hw_.vmclear(vmcs) && hw_.vmptrld(vmcs);
}

template <typename Hw>
boot::StartResult BasicVmxCpu<Hw>::capture(core::CapturedState const& captured)
{
    // The guest's own CR0 and CR4, before VMX asks for more.
    std::uint64_t const cr0 = hw_.cr0(), cr4 = hw_.cr4();
    if (!switch_on())
        return boot::StartResult::virtualisation_disabled;
    write_controls();
    write_host_state();
    write_guest_state(captured);
    set_paging_mode(cr0, cr4, hw_.read_msr(core::msr::efer));
    hw_.write(Field::guest_cr3, hw_.cr3());
    if ((cr4 & cr4_pae) != 0)
        (void)load_pdptes(hw_.cr3());
    flush_guest_translations();
    flush_nested();
    return boot::StartResult::ok;
}

template <typename Hw>
void BasicVmxCpu<Hw>::write_controls()
{
    Controls const& controls = shared_->controls;
    pin_ = controls.pin;
    primary_ = controls.primary;
    update_pin();
    update_primary();
    hw_.write(Field::secondary_controls, controls.secondary);
    hw_.write(Field::exit_controls, controls.exit);
    hw_.write(Field::entry_controls, controls.entry);
    auto const io = reinterpret_cast<std::uint64_t>(shared_->io_bitmaps);
    hw_.write(Field::io_bitmap_a, io);
    hw_.write(Field::io_bitmap_b, io + 4096);
    hw_.write(Field::msr_bitmap, reinterpret_cast<std::uint64_t>(shared_->msr_bitmap));
    hw_.write(Field::ept_pointer, shared_->running_pointer);
    if ((controls.secondary & secondary::vpid) != 0)
        hw_.write(Field::vpid, the_vpid);
    if ((controls.secondary & secondary::xsaves) != 0)
        hw_.write(Field::xss_exiting, 0);
    for (Field const field :
         {Field::exception_bitmap, Field::page_fault_mask, Field::page_fault_match, Field::cr3_target_count,
          Field::exit_msr_store_count, Field::exit_msr_load_count, Field::entry_msr_load_count, Field::entry_event})
        hw_.write(field, 0);
    hw_.write(Field::link_pointer, ~0ULL);
    hw_.write(Field::cr0_mask, cr0_owned());
    hw_.write(Field::cr4_mask, cr4_owned());
    set_tsc_offset(0);
}

template <typename Hw>
void BasicVmxCpu<Hw>::write_host_state()
{
    core::HostTables const& tables = shared_->host_tables;
    hw_.write(Field::host_cr0, hw_.cr0());
    hw_.write(Field::host_cr3, shared_->host_root);
    hw_.write(Field::host_cr4, cr4_pae | cr4_vmxe | (hw_.cr4() & cr4_mce));
    hw_.write(Field::host_cs, tables.code_selector);
    for (Field const field : {Field::host_es, Field::host_ss, Field::host_ds})
        hw_.write(field, tables.data_selector);
    hw_.write(Field::host_fs, 0);
    hw_.write(Field::host_gs, 0);
    hw_.write(Field::host_tr, tables.task_selector);
    for (Field const field : {Field::host_fs_base, Field::host_gs_base, Field::host_sysenter_cs,
                              Field::host_sysenter_esp, Field::host_sysenter_eip})
        hw_.write(field, 0);
    hw_.write(Field::host_tr_base, tables.task_base);
    hw_.write(Field::host_gdtr_base, tables.gdt_base);
    hw_.write(Field::host_idtr_base, tables.idt_base);
    hw_.write(Field::host_efer, hw_.read_msr(core::msr::efer));
    hw_.write(Field::host_pat, hw_.read_msr(core::msr::pat));
    hw_.write(Field::host_rip, hw_.exit_address());
}

template <typename Hw>
void BasicVmxCpu<Hw>::write_guest_state(core::CapturedState const& captured)
{
    core::Selectors const now = hw_.selectors();
    unsigned index = 0;
    for (std::uint16_t const selector : now.segments)
        write_segment(static_cast<backend::Segment>(index++), selector, now.gdt);
    hw_.write(at(Field::guest_es_base, static_cast<unsigned>(backend::Segment::fs)), hw_.read_msr(msr::fs_base));
    hw_.write(at(Field::guest_es_base, static_cast<unsigned>(backend::Segment::gs)), hw_.read_msr(msr::gs_base));
    set_descriptor_tables(now.gdt.base, now.gdt.limit, now.idt.base, now.idt.limit);
    hw_.write(Field::guest_dr7, hw_.dr7());
    hw_.write(Field::guest_debugctl, hw_.read_msr(msr::debugctl));
    hw_.write(Field::guest_sysenter_cs, hw_.read_msr(msr::sysenter_cs));
    hw_.write(Field::guest_sysenter_esp, hw_.read_msr(msr::sysenter_esp));
    hw_.write(Field::guest_sysenter_eip, hw_.read_msr(msr::sysenter_eip));
    hw_.write(Field::guest_pat, hw_.read_msr(core::msr::pat));
    for (Field const field : {Field::interruptibility, Field::activity, Field::pending_debug})
        hw_.write(field, 0);
    registers_ = backend::registers_of(captured);
    hw_.write(Field::guest_rsp, rsp_ = captured.rsp);
    hw_.write(Field::guest_rip, captured.rip);
    hw_.write(Field::guest_rflags, captured.rflags);
}

/// UEFI leaves TR and LDTR empty, and VM entry wants a busy TSS: nobody looks at it before loading another.
template <typename Hw>
void BasicVmxCpu<Hw>::write_segment(backend::Segment which, std::uint16_t selector, core::TablePointer const& gdt)
{
    core::Descriptor const value = hw_.descriptor(selector, gdt);
    bool const task = which == backend::Segment::tr;
    if (task && (value.attributes & 0x80) == 0)
        return set_segment(which, {selector, 0x8B, 0xFFFF, 0});
    auto const attributes = static_cast<std::uint16_t>(value.attributes | (task ? 2 : 0));
    set_segment(which, {selector, attributes, value.limit, value.base});
}

template <typename Hw>
std::uint64_t BasicVmxCpu<Hw>::cr0_owned() const
{
    // With "unrestricted guest" PE and PG are free (SDM 24.8).
    Capabilities const& c = shared_->offered;
    return (c.cr0_fixed0 & ~(cr0_pe | cr0_pg)) & 0xFFFF'FFFF;
}

template <typename Hw>
std::uint64_t BasicVmxCpu<Hw>::cr4_owned() const
{
    Capabilities const& c = shared_->offered;
    return (c.cr4_fixed0 | cr4_vmxe | cr4_smxe | ~c.cr4_fixed1) & 0xFFFF'FFFF;
}

/// CR0, CR4 and EFER as the guest shall see them; what VMX asks for on top is hidden by mask and shadow.
template <typename Hw>
void BasicVmxCpu<Hw>::set_paging_mode(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer)
{
    hw_.write(Field::guest_cr0, cr0 | cr0_owned());
    hw_.write(Field::cr0_shadow, cr0);
    hw_.write(Field::guest_cr4, (cr4 & ~cr4_smxe) | shared_->offered.cr4_fixed0 | cr4_vmxe);
    hw_.write(Field::cr4_shadow, cr4 & ~(cr4_vmxe | cr4_smxe));
    hw_.write(Field::guest_efer, efer);
    std::uint64_t const entry = shared_->controls.entry;
    hw_.write(Field::entry_controls, (efer & efer_lma) != 0 ? entry | entry_control::long_mode : entry);
}

/// With EPT the four entries of PAE paging travel in the VMCS (SDM 27.3.2.4). False: a reserved bit is set.
template <typename Hw>
bool BasicVmxCpu<Hw>::load_pdptes(std::uint64_t cr3)
{
    constexpr std::uint64_t present = 1, reserved = 0x1E6;
    std::uint64_t entries[4] = {};
    if (!shared_->memory->read(Gpa{cr3 & 0xFFFF'FFE0}, std::as_writable_bytes(std::span{entries})))
        return false;
    for (std::uint64_t const entry : entries)
        if ((entry & present) != 0 && (entry & reserved) != 0)
            return false;
    for (unsigned i = 0; i < 4; ++i)
        hw_.write(at(Field::guest_pdpte0, i), entries[i]);
    return true;
}

template <typename Hw>
void BasicVmxCpu<Hw>::flush_guest_translations()
{
    if ((shared_->controls.secondary & secondary::vpid) == 0)
        return; // every entry does it
    bool const single = (shared_->offered.ept_vpid & ept_cap::invvpid_single) != 0;
    hw_.invvpid(single ? 1 : 2, the_vpid);
}

template <typename Hw>
void BasicVmxCpu<Hw>::flush_nested()
{
    std::uint64_t const running = shared_->running_pointer.load(std::memory_order_acquire);
    if (!stepping_)
        hw_.write(Field::ept_pointer, running);
    if ((shared_->offered.ept_vpid & ept_cap::invept_all) != 0)
        return hw_.invept(2, 0);
    hw_.invept(1, running);
    hw_.invept(1, shared_->stepping_pointer);
}

template <typename Hw>
void BasicVmxCpu<Hw>::set_rip(std::uint64_t rip)
{
    hw_.write(Field::guest_rip, rip);
    std::uint64_t const state = hw_.read(Field::interruptibility);
    if ((state & (blocking::sti | blocking::mov_ss)) != 0)
        hw_.write(Field::interruptibility, state & ~(blocking::sti | blocking::mov_ss));
}

template <typename Hw>
backend::PagingState BasicVmxCpu<Hw>::paging() const
{
    constexpr std::uint32_t rights_long = 1U << 13, rights_default = 1U << 14;
    std::uint64_t const code = hw_.read(Field::guest_cs_rights), owned0 = cr0_owned(), owned4 = cr4_owned();
    return {.cr0 = (hw_.read(Field::guest_cr0) & ~owned0) | (hw_.read(Field::cr0_shadow) & owned0),
            .cr3 = hw_.read(Field::guest_cr3),
            .cr4 = (hw_.read(Field::guest_cr4) & ~owned4) | (hw_.read(Field::cr4_shadow) & owned4),
            .efer = hw_.read(Field::guest_efer),
            .rflags = hw_.read(Field::guest_rflags),
            .cs_long = (code & rights_long) != 0,
            .cs_default_32 = (code & rights_default) != 0,
            .cpl = static_cast<std::uint8_t>(hw_.read(Field::guest_ss_rights) >> 5 & 3)};
}

template <typename Hw>
backend::SegmentState BasicVmxCpu<Hw>::segment(backend::Segment which) const
{
    auto const index = static_cast<unsigned>(which);
    return {static_cast<std::uint16_t>(hw_.read(at(Field::guest_es, index))),
            attributes_of(static_cast<std::uint32_t>(hw_.read(at(Field::guest_es_rights, index)))),
            static_cast<std::uint32_t>(hw_.read(at(Field::guest_es_limit, index))),
            hw_.read(at(Field::guest_es_base, index))};
}

template <typename Hw>
void BasicVmxCpu<Hw>::set_segment(backend::Segment which, backend::SegmentState state)
{
    auto const index = static_cast<unsigned>(which);
    hw_.write(at(Field::guest_es, index), state.selector);
    hw_.write(at(Field::guest_es_rights, index), rights_of(state.attributes));
    hw_.write(at(Field::guest_es_limit, index), state.limit);
    hw_.write(at(Field::guest_es_base, index), state.base);
}

template <typename Hw>
void BasicVmxCpu<Hw>::set_system_registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, std::uint64_t efer)
{
    set_paging_mode(cr0, cr4, efer);
    hw_.write(Field::guest_cr3, cr3);
    hw_.set_cr2(0);
    flush_guest_translations();
}

template <typename Hw>
void BasicVmxCpu<Hw>::set_descriptor_tables(std::uint64_t gdt_base, std::uint64_t gdt_limit, std::uint64_t idt_base,
                                            std::uint64_t idt_limit)
{
    hw_.write(Field::guest_gdtr_base, gdt_base);
    hw_.write(Field::guest_gdtr_limit, gdt_limit);
    hw_.write(Field::guest_idtr_base, idt_base);
    hw_.write(Field::guest_idtr_limit, idt_limit);
}

template <typename Hw>
void BasicVmxCpu<Hw>::set_debug_and_activity_reset()
{
    if (stepping_) {
        guest_flags_ = 0;
        close_view();
    }
    hw_.set_dr6(0xFFFF0FF0);
    hw_.write(Field::guest_dr7, 0x400);
    hw_.clear_breakpoints();
    for (Field const field : {Field::interruptibility, Field::activity, Field::pending_debug})
        hw_.write(field, 0);
    event_ = 0;
    nmi_pending_ = false;
    nmis_taken_.store(0);
    close_nmi_window();
}

template <typename Hw>
void BasicVmxCpu<Hw>::set_guest_efer(std::uint64_t efer)
{
    // LMA follows CR0.PG and LME; software's write to it has no effect.
    hw_.write(Field::guest_efer, (efer & ~efer_lma) | (guest_efer() & efer_lma));
    flush_guest_translations(); // NXE changes what cached translations mean
}

template <typename Hw>
void BasicVmxCpu<Hw>::intercept_halt(bool on)
{
    constexpr std::uint32_t both = primary::hlt | primary::mwait;
    primary_ = on ? primary_ | both : primary_ & ~both;
    update_primary();
}

template <typename Hw>
void BasicVmxCpu<Hw>::intercept_interrupts(bool on)
{
    pin_ = on ? pin_ | pin::external_interrupts : pin_ & ~pin::external_interrupts;
    update_pin();
}

template <typename Hw>
bool BasicVmxCpu<Hw>::arm_timer(std::uint64_t ticks)
{
    if (!shared_->offered.may(shared_->offered.pin, pin::timer))
        return false;
    bool const on = ticks != 0;
    deadline_ = hw_.tsc() + ticks;
    if (on != timer_armed_) {
        timer_armed_ = on;
        pin_ = on ? pin_ | pin::timer : pin_ & ~pin::timer;
        update_pin();
    }
    return true;
}

} // namespace undercroft::vmx
