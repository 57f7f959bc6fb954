// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What happens at each exit, written once for all backends.
#include <array>
#include <cstdint>
#include <span>

#include "base/width.hpp"
#include "hypervisor/backend/backend.hpp"
#include "hypervisor/backend/reset.hpp"
#include "hypervisor/core/exit_services.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/core/startup.hpp"
#include "hypervisor/core/x86.hpp"
#include "hypervisor/decode/decode_cache.hpp"
#include "hypervisor/decode/mmio_access.hpp"
#include "hypervisor/decode/run_ahead.hpp"
#include "hypervisor/decode/string_io.hpp"
#include "hypervisor/paging/guest_walk.hpp"

namespace undercroft::core {

/// Waits a while for `mailbox` to get a request; on hardware in HLT, woken by NMI. May return early.
using WaitForRequest = void (*)(Mailbox&);

template <backend::VirtualCpu C>
class ExitLoop {
public:
    ExitLoop(C& cpu, std::uint16_t index, Mailbox& mailbox, ExitServices& services, WaitForRequest wait)
        : cpu_{&cpu}, index_{index}, mailbox_{&mailbox}, services_{&services}, wait_{wait}
    {
    }

    /// One exit. Returns it, so that the caller can look after delivery.
    backend::Exit step()
    {
        bool const timed = services_->wants_positions();
        std::uint64_t const left = timed ? read_tsc() : 0;
        backend::Exit const exit = cpu_->run();
        std::uint64_t const away = timed ? read_tsc() - left : 0;
        // Before others may take this CPU for one that has left the guest: they ask how far it came.
        if (services_->wants_positions())
            services_->note_exit(index_, position());
        mailbox_->withdraw_entry();
        if (exit.entered)
            count(wire::CounterId::exits_total);
        if (timed && exit.entered)
            services_->note_away(away);
        dispatch(exit);
        return exit;
    }

    /// Acts on INIT, SIPI and flush requests from other CPUs; returns when the guest may run.
    void serve_mailbox()
    {
        for (;;) {
            while (mailbox_->held() && !lock_broken())
                __builtin_ia32_pause();
            if (mailbox_->take_flush())
                cpu_->flush_nested();
            platform::StartupAction const action = mailbox_->startup.take();
            switch (action.kind) {
            case platform::StartupAction::Kind::none:
                if (!mailbox_->startup.needs_attention())
                    return;
                wait_(*mailbox_); // for a SIPI: Intel SDM vol. 3A 9.4, AMD APM vol. 2 14.1.5
                break;
            case platform::StartupAction::Kind::wait:
                enter_init_state();
                break;
            case platform::StartupAction::Kind::start:
                enter_init_state();
                backend::apply_startup(*cpu_, action.vector);
                count(wire::CounterId::exits_init_sipi);
                return;
            case platform::StartupAction::Kind::reset_vector:
                enter_init_state();
                count(wire::CounterId::exits_init_sipi);
                return;
            }
        }
    }

private:
    void dispatch(backend::Exit const& exit)
    {
        using enum backend::ExitKind;
        if (exit.kind != debug_trap && exit.kind != nmi)
            end_step(); // the stepped instruction did something else than end
        switch (exit.kind) {
        case nested_fault:
            on_nested_fault(exit);
            break;
        case port:
            on_port(exit);
            break;
        case msr_read:
            on_msr_read(exit);
            break;
        case msr_write:
            on_msr_write(exit);
            break;
        case hypercall:
            on_hypercall(exit);
            break;
        case halt:
            on_halt(exit);
            break;
        case interrupt:
        case interruptible:
        case timer:
            count(wire::CounterId::exits_interrupt);
            break;
        case cpuid:
            count(wire::CounterId::exits_cpuid);
            break;
        case handled:
            break;
        case nmi:
            on_nmi();
            break;
        case init:
            services_->init_arrived();
            mailbox_->startup.post_init();
            serve_mailbox();
            break;
        case debug_trap:
            end_step();
            break;
        case protection_fault:
            on_protection_fault();
            break;
        case virtualisation:
            cpu_->inject_undefined();
            break;
        case shutdown:
            end_guest(exit);
        default:
            on_unknown(exit);
            break;
        }
    }

    /// The state at the end is all that anybody learns of its cause.
    [[noreturn]] void end_guest(backend::Exit const& exit)
    {
        backend::PagingState const paging = cpu_->paging();
        log(LogLevel::warning, str("CPU "), dec(index_), str(": no way on after exit "), hex(exit.raw_reason),
            str(" gpa "), hex(exit.gpa.value), str(" event "), hex(exit.interrupted_event), str(" rip "),
            hex(cpu_->rip()), str(" rsp "), hex(cpu_->registers().gpr[4]));
        log(LogLevel::warning, str("CPU "), dec(index_), str(": cpl "), dec(paging.cpl), str(" rflags "),
            hex(paging.rflags), str(" cr0 "), hex(paging.cr0), str(" cr3 "), hex(paging.cr3), str(" cr4 "),
            hex(paging.cr4), str(" efer "), hex(paging.efer));
        services_->guest_shutdown();
    }

    /// An intercepted HLT or MWAIT is one that woke up at once, as after an SMI: idle loops look again
    /// and halt again, natively then. Going back to the instruction itself would let an interrupt in
    /// before it, and the guest would sleep over what that interrupt brought.
    void on_halt(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_halt);
        constexpr std::uint64_t interrupts_enabled = 1ULL << 9;
        if ((cpu_->rflags() & interrupts_enabled) != 0)
            skip_instruction(exit, 1);
    }

    /// Of RIP and the general registers: any instruction that is through has changed one of them, but one that jumps to
    /// itself.
    [[nodiscard]] std::uint64_t position()
    {
        constexpr std::uint64_t odd = 0x9E37'79B9'7F4A'7C15;
        std::uint64_t mixed = cpu_->rip();
        for (std::uint64_t const value : cpu_->registers().gpr)
            mixed = (mixed ^ value ^ mixed >> 29) * odd;
        return mixed;
    }

    void count(wire::CounterId id) { services_->counters().add(id); }

    void on_nested_fault(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_nested_fault);
        if (services_->memory_fault(exit, index_))
            return;
        // Stack, IDT or TSS on a page that cannot serve as such: no instruction is to blame, none can be emulated.
        if (exit.during_event)
            end_guest(exit);
        // Code or page tables in registers, or in memory that is not there: a bus that answers nothing useful.
        if (exit.is_fetch)
            return cpu_->inject_undefined();
        if (exit.by_page_walk)
            return cpu_->inject_general_protection();
        std::uint64_t const rip = cpu_->rip();
        auto const progress = decode::access_mmio(*cpu_, decode_cache_, services_->memory(), services_->mmio(),
                                                  exit.gpa.value, exit.is_write);
        if (progress == decode::Progress::unknown)
            step_open_or_fault(exit);
        else if (progress == decode::Progress::done && exit.is_write)
            run_ahead(rip);
    }

    /// Drivers write several registers in a row: the next ones need no exit.
    void run_ahead(std::uint64_t access_rip)
    {
        auto const is_watched = [this](Gpa gpa) { return services_->is_watched(gpa); };
        unsigned const merged = decode::run_ahead(*cpu_, step_cache_, run_ahead_table_, services_->memory(),
                                                  services_->mmio(), is_watched, access_rip);
        if (merged != 0)
            services_->counters().add(wire::CounterId::run_ahead_merged, merged);
    }

    void skip(unsigned bytes) { set_rip_wrapped(cpu_->rip() + bytes); }
    void set_rip_wrapped(std::uint64_t rip) { cpu_->set_rip(cpu_->paging().cs_long ? rip : rip & 0xFFFFFFFF); }

    /// An instruction that cannot be emulated runs once on this CPU's own view of memory
    /// in which the page is open; what it did is looked up afterwards.
    void step_open_or_fault(backend::Exit const& exit)
    {
        count(wire::CounterId::decode_unknown);
        if (!services_->may_open(exit.gpa))
            return cpu_->inject_general_protection();
        log(LogLevel::debug, str("single step at rip "), hex(cpu_->rip()), str(" gpa "), hex(exit.gpa.value));
        begin_step();
    }

    void begin_step()
    {
        stepping_ = true;
        cpu_->single_step(true);
    }

    /// Closes the open view again. No guest code but the one instruction may run in it.
    void end_step()
    {
        if (!stepping_)
            return;
        stepping_ = false;
        cpu_->single_step(false);
        services_->after_open_step();
    }

    void on_port(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_io);
        if (exit.string)
            return on_string_port(exit);
        std::uint64_t& rax = cpu_->registers().gpr[0];
        std::uint64_t const operand = width_mask(exit.width);
        if (exit.is_write) {
            services_->port_write(exit.port, exit.width, static_cast<std::uint32_t>(rax & operand));
        } else {
            std::uint64_t const value = services_->port_read(exit.port, exit.width) & operand;
            rax = exit.width == 4 ? value : (rax & ~operand) | value; // 32 bits zero the upper half
        }
        cpu_->set_rip(exit.next_rip);
    }

    void on_string_port(backend::Exit const& exit)
    {
        ServicePorts ports{*services_};
        if (decode::string_io(*cpu_, string_cache_, exit, services_->memory(), services_->mmio(), ports))
            return;
        count(wire::CounterId::decode_unknown);
        cpu_->inject_general_protection();
    }

    static constexpr std::uint32_t msr_efer = 0xC0000080;

    void on_msr_read(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_msr);
        auto& gpr = cpu_->registers().gpr;
        auto const number = static_cast<std::uint32_t>(gpr[1]);
        std::uint64_t value = 0;
        if (number == msr_efer)
            value = cpu_->guest_efer();
        else if (services_->msr_read(number, value) == MsrAnswer::fault)
            return cpu_->inject_general_protection();
        gpr[0] = value & 0xFFFFFFFF;
        gpr[2] = value >> 32;
        skip_instruction(exit, 2);
    }

    void on_msr_write(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_msr);
        auto const& gpr = cpu_->registers().gpr;
        auto const number = static_cast<std::uint32_t>(gpr[1]);
        std::uint64_t const value = (gpr[2] << 32) | (gpr[0] & 0xFFFFFFFF);
        if (number == msr_efer) {
            if (!valid_efer(value))
                return cpu_->inject_general_protection();
            if ((value & ~cpu_->guest_efer()) != 0)
                services_->efer_bits_set();
            cpu_->set_guest_efer(value);
        } else if (services_->msr_write(number, value) == MsrAnswer::fault) {
            return cpu_->inject_general_protection();
        }
        skip_instruction(exit, 2);
    }

    /// What this processor has; SVME reads 0 and may not be set.
    /// Changing LME while paging is on faults (APM volume 2, 3.1.7).
    [[nodiscard]] bool valid_efer(std::uint64_t value) const
    {
        constexpr std::uint64_t lme = 1ULL << 8, paging_on = 1ULL << 31;
        if ((value & ~services_->efer_bits()) != 0)
            return false;
        return (cpu_->paging().cr0 & paging_on) == 0 || ((value ^ cpu_->guest_efer()) & lme) == 0;
    }

    using InstructionBytes = std::array<std::byte, 16>;
    /// The bytes at RIP, as many as can be read.
    std::span<std::uint8_t const> fetch(backend::PagingState const& paging, InstructionBytes& bytes)
    {
        std::uint64_t const cs_base = paging.cs_long ? 0 : cpu_->segment(backend::Segment::cs).base;
        std::size_t const got = paging::fetch_instruction(services_->memory(), paging, cs_base, cpu_->rip(), bytes);
        return {reinterpret_cast<std::uint8_t const*>(bytes.data()), got};
    }

    /// Where the processor does not say how long the instruction was, prefixes are found by decoding.
    void skip_instruction(backend::Exit const& exit, unsigned opcode_bytes)
    {
        if (exit.next_rip != 0)
            return cpu_->set_rip(exit.next_rip);
        backend::PagingState const paging = cpu_->paging();
        InstructionBytes bytes{};
        unsigned const length = decode_cache_.decode(fetch(paging, bytes), decode::code_mode(paging)).length;
        skip(length != 0 ? length : opcode_bytes);
    }

    /// A program's virtualisation instruction must look as where SVM is off; all else is the guest's own affair.
    void on_protection_fault()
    {
        count(wire::CounterId::exits_protection_fault);
        backend::PagingState const paging = cpu_->paging();
        InstructionBytes bytes{};
        if (paging.cpl != 0 &&
            decode::needs_svm(fetch(paging, bytes), decode::code_mode(paging), services_->has_skinit()))
            cpu_->inject_undefined();
        else
            cpu_->deliver_protection_fault();
    }

    void on_hypercall(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_hypercall);
        if (services_->hypercall(cpu_->registers(), cpu_->paging())) {
            skip_instruction(exit, 3);
            return;
        }
        count(wire::CounterId::hypercalls_refused);
        cpu_->inject_undefined();
    }

    /// NMIs are how CPUs call each other, and the card a CPU; one more than were sent is the guest's own. Calls that
    /// meet merge: one NMI may be both.
    void on_nmi()
    {
        cpu_->consume_nmi();
        bool const called = services_->take_kick(*mailbox_);
        if (!services_->take_wake(index_) && !called)
            cpu_->inject_nmi();
        serve_mailbox();
    }

    void enter_init_state()
    {
        end_step();
        backend::apply_init(*cpu_, services_->processor_signature());
        count(wire::CounterId::exits_init_sipi);
    }

    void on_unknown(backend::Exit const& exit)
    {
        count(wire::CounterId::exits_unknown);
        log(LogLevel::warning, str("unexpected exit "), hex(exit.raw_reason), str(" at rip "), hex(cpu_->rip()));
        cpu_->inject_undefined();
    }

    C* cpu_;
    std::uint16_t index_;
    Mailbox* mailbox_;
    ExitServices* services_;
    WaitForRequest wait_;
    decode::DecodeCache decode_cache_;
    decode::StringPortCache string_cache_;
    bool stepping_ = false;
    decode::StepCache step_cache_;
    decode::RunAheadTable run_ahead_table_;
};

} // namespace undercroft::core
