// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A captured CPU of the VMX backend on the model, and exits as the hardware would report them.
#include "hypervisor/backend/tests/recorded.hpp"
#include "hypervisor/backend/tests/vmx_model.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::vmx::testing {

struct Rig {
    using Model = ModelVmx;

    explicit Rig(Capabilities const& offered = skylake())
    {
        shared.offered = offered;
        shared.controls = choose_controls(offered);
        shared.io_bitmaps = bitmaps;
        shared.msr_bitmap = bitmaps + io_bitmap_bytes;
        shared.running_pointer = ept_pointer(offered, 0x10'0000'0000);
        shared.stepping_pointer = ept_pointer(offered, 0x20'0000'0000);
        shared.host_root = 0x5000;
        shared.host_tables = {0x08, 0x10, 0x18, 0x6000, 0x7000, 0x8000};
        shared.memory = &ram;
        cpu.initialise(pages, pages + 4096, &shared);
        core::CapturedState caller{};
        caller.rip = 0x40'0000;
        caller.rsp = 0x7'F000;
        caller.rflags = 0x202;
        EXPECT_EQ(cpu.capture(caller), boot::StartResult::ok);
        lay_out(reason::cpuid, 2);
    }
    Rig(Rig const&) = delete;
    Rig& operator=(Rig const&) = delete;

    Model& hw() { return cpu.hardware(); }

    /// The next exit, with the guest's registers as they are.
    void lay_out(std::uint32_t why, std::uint64_t length = 0, std::uint64_t qualification = 0)
    {
        hw().next_exit = {{Field::exit_reason, why},
                          {Field::exit_instruction_length, length},
                          {Field::qualification, qualification},
                          {Field::exit_event, 0},
                          {Field::exit_error_code, 0},
                          {Field::vectoring_event, 0},
                          {Field::vectoring_error_code, 0},
                          {Field::guest_physical_address, 0}};
    }

    /// From the contract's description to what the manual says the processor reports.
    void next(backend::Exit const& exit, std::uint64_t length)
    {
        using enum backend::ExitKind;
        switch (exit.kind) {
        case nested_fault: {
            std::uint64_t const access = exit.is_fetch ? 4 : exit.is_write ? 2 : 1;
            lay_out(48, 0, access | 1U << 7 | (exit.by_page_walk ? 0U : 1U << 8));
            hw().next_exit[Field::guest_physical_address] = exit.gpa.value;
            if (exit.during_event)
                hw().next_exit[Field::vectoring_event] = 0x8000'00EF;
            break;
        }
        case port:
            lay_out(30, length,
                    (exit.width - 1U) | (exit.is_write ? 0U : 1U << 3) | (exit.string ? 1U << 4 : 0U) |
                        (exit.rep ? 1U << 5 : 0U) | std::uint64_t{exit.port} << 16);
            break;
        case nmi:
        case debug_trap:
            lay_out(0, 0, exit.kind == nmi ? 0 : 1U << 14);
            hw().next_exit[Field::exit_event] = exit.kind == nmi ? 0x8000'0202 : 0x8000'0301;
            break;
        default:
            lay_out(plain_reason(exit.kind), length);
            break;
        }
    }
    static std::uint32_t plain_reason(backend::ExitKind kind)
    {
        using enum backend::ExitKind;
        switch (kind) {
        case msr_read:
            return 31;
        case msr_write:
            return 32;
        case halt:
            return 12;
        case interrupt:
            return 1;
        case init:
            return 3;
        case hypercall:
            return 18;
        case virtualisation:
            return 21;
        case shutdown:
            return 2;
        case timer:
            return 52;
        case cpuid:
            return 10;
        default:
            return 65; // a reason that this processor does not have
        }
    }

    alignas(4096) std::uint8_t pages[2 * 4096] = {};
    alignas(4096) std::uint8_t bitmaps[3 * 4096] = {};
    SharedState shared;
    paging::testing::Ram ram{0x10000};
    backend::testing::Recorded<BasicVmxCpu<Model>> cpu;
};

} // namespace undercroft::vmx::testing
