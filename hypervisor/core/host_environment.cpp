// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/host_environment.hpp"

#include <array>
#include <atomic>
#include <utility>

#include "hypervisor/core/log.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {

extern "C" [[noreturn]] void core_sensor_failed(); // machine_failure.cpp

namespace {

constexpr std::uint16_t code_selector = 0x08, data_selector = 0x10, task_selector = 0x18;
constexpr unsigned vectors = 32;

/// Intel's exits load TR, so there must be a task state segment; nobody looks into it.
alignas(16) std::uint8_t task_state[104];

// Flat 64-bit code, flat data, busy 64-bit TSS: Intel SDM vol. 3A 3.4.5 and 8.2.3, AMD APM vol. 2 4.8.
alignas(16) std::uint64_t gdt[5] = {0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF};

struct Gate {
    std::uint16_t offset_low, selector;
    std::uint8_t stack_table, attributes;
    std::uint16_t offset_middle;
    std::uint32_t offset_high, reserved;
};
static_assert(sizeof(Gate) == 16);
alignas(16) std::array<Gate, vectors> idt;

std::atomic<std::uint64_t> nmi_count;
void (*nmi_hook)() = nullptr;

struct ExceptionFrame {
    std::uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
};

/// A fault in the sensor itself is a bug of ours, never the guest's doing: say where, and wind everything up.
extern "C" [[noreturn, gnu::noinline]] void core_exception(ExceptionFrame const* frame)
{
    std::uint64_t cr2;
    asm volatile("mov %%cr2, %0" : "=r"(cr2));
    log(LogLevel::error, str("sensor fault: vector "), dec(frame->vector), str(" error "), hex(frame->error_code),
        str(" rip "), hex(frame->rip), str(" rsp "), hex(frame->rsp), str(" cr2 "), hex(cr2));
    core_sensor_failed();
}

extern "C" void core_count_nmi()
{
    nmi_count.fetch_add(1, std::memory_order_relaxed);
    if (nmi_hook != nullptr)
        nmi_hook();
}

[[gnu::naked]] void nmi_entry()
{
    asm("push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11\n"
        "call core_count_nmi\n" // 5 words by the CPU and 9 here: the stack is aligned
        "pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
        "iretq\n");
}

/// Vectors that push an error code: Intel SDM vol. 3A table 6-1.
constexpr bool pushes_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 ||
           vector == 30;
}

template <unsigned Vector>
    requires(pushes_error_code(Vector))
[[gnu::naked]] void exception_entry()
{
    asm("push %0; mov %%rsp, %%rdi; and $-16, %%rsp; call core_exception" : : "i"(Vector));
}

template <unsigned Vector>
    requires(!pushes_error_code(Vector))
[[gnu::naked]] void exception_entry()
{
    asm("push $0; push %0; mov %%rsp, %%rdi; and $-16, %%rsp; call core_exception" : : "i"(Vector));
}

// The only instructions of the sensor that may fault: what they are given comes from the guest.
// extern "C": the entry of vector 13 finds them by name.
extern "C" [[gnu::naked]] bool core_read_msr(std::uint32_t /*number*/, std::uint64_t* /*value*/)
{
    asm("mov %edi, %ecx\n"
        "core_read_msr_instruction: rdmsr\n"
        "mov %eax, (%rsi); mov %edx, 4(%rsi); mov $1, %eax; ret\n");
}

extern "C" [[gnu::naked]] bool core_write_msr(std::uint32_t /*number*/, std::uint64_t /*value*/)
{
    asm("mov %edi, %ecx; mov %esi, %eax; mov %rsi, %rdx; shr $32, %rdx\n"
        "core_write_msr_instruction: wrmsr\n"
        "mov $1, %eax; ret\n"
        "core_msr_refused: xor %eax, %eax; ret\n");
}

extern "C" [[gnu::naked]] bool core_xsetbv(std::uint32_t /*index*/, std::uint64_t /*value*/)
{
    asm("mov %edi, %ecx; mov %esi, %eax; mov %rsi, %rdx; shr $32, %rdx\n"
        "core_xsetbv_instruction: xsetbv\n"
        "mov $1, %eax; ret\n");
}

/// #GP: of one of these, it fails; of anything else, the sensor.
[[gnu::naked]] void general_protection_entry()
{
    asm("push %rax\n" // now RIP is at 16(%rsp), below the error code
        "lea core_read_msr_instruction(%rip), %rax; cmp %rax, 16(%rsp); je 1f\n"
        "lea core_write_msr_instruction(%rip), %rax; cmp %rax, 16(%rsp); je 1f\n"
        "lea core_xsetbv_instruction(%rip), %rax; cmp %rax, 16(%rsp); je 1f\n"
        "pop %rax; push $13; mov %rsp, %rdi; and $-16, %rsp; call core_exception\n"
        "1: lea core_msr_refused(%rip), %rax; mov %rax, 16(%rsp)\n"
        "pop %rax; add $8, %rsp; iretq\n");
}

/// #SX: an INIT that was pending when GIF was set. The exit loop has seen it.
[[gnu::naked]] void security_entry()
{
    asm("add $8, %rsp; iretq");
}

void set_gate(unsigned vector, void (*entry)())
{
    auto const address = reinterpret_cast<std::uint64_t>(entry);
    idt[vector] = {static_cast<std::uint16_t>(address),
                   code_selector,
                   0,
                   0x8E,
                   static_cast<std::uint16_t>(address >> 16),
                   static_cast<std::uint32_t>(address >> 32),
                   0};
}

template <unsigned... V>
void set_gates(std::integer_sequence<unsigned, V...>)
{
    (set_gate(V, &exception_entry<V>), ...);
}

[[gnu::naked]] void reload_segments(std::uint64_t /*code*/, std::uint64_t /*data*/)
{
    asm("mov %esi, %ds; mov %esi, %es; mov %esi, %ss\n"
        "pop %rax; push %rdi; push %rax; lretq\n");
}

} // namespace

void build_host_tables()
{
    set_gates(std::make_integer_sequence<unsigned, vectors>{});
    auto const task = reinterpret_cast<std::uint64_t>(task_state);
    gdt[3] = (sizeof(task_state) - 1) | (task & 0xFFFFFF) << 16 | 0x8BULL << 40 | (task >> 24 & 0xFF) << 56;
    gdt[4] = task >> 32;
    set_gate(2, &nmi_entry);
    set_gate(13, &general_protection_entry);
    set_gate(30, &security_entry);
}

void load_host_environment(std::uint64_t page_table_root)
{
    constexpr std::uint64_t cr4_pae = 1ULL << 5, cr4_machine_check = 1ULL << 6, cr4_vmxe = 1ULL << 13;
    std::uint64_t cr4;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    // PCIDE may only be cleared while CR3's low bits are free to change: clear it first, then load CR3.
    cr4 = (cr4 & (cr4_vmxe | cr4_machine_check)) | cr4_pae;
    asm volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
    asm volatile("mov %0, %%cr3" : : "r"(page_table_root) : "memory");
    TablePointer const gdt_pointer{sizeof(gdt) - 1, reinterpret_cast<std::uint64_t>(gdt)};
    TablePointer const idt_pointer{sizeof(idt) - 1, reinterpret_cast<std::uint64_t>(idt.data())};
    asm volatile("lgdt %0" : : "m"(gdt_pointer));
    reload_segments(code_selector, data_selector);
    asm volatile("lidt %0" : : "m"(idt_pointer));
}

HostTables host_tables()
{
    return {code_selector,
            data_selector,
            task_selector,
            reinterpret_cast<std::uint64_t>(gdt),
            reinterpret_cast<std::uint64_t>(idt.data()),
            reinterpret_cast<std::uint64_t>(task_state)};
}

void set_nmi_hook(void (*hook)())
{
    nmi_hook = hook;
}

bool try_xsetbv(std::uint32_t index, std::uint64_t value)
{
    constexpr std::uint64_t cr4_osxsave = 1ULL << 18;
    std::uint64_t cr4;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    asm volatile("mov %0, %%cr4" : : "r"(cr4 | cr4_osxsave));
    bool const done = core_xsetbv(index, value);
    asm volatile("mov %0, %%cr4" : : "r"(cr4));
    return done;
}

bool try_read_msr(std::uint32_t number, std::uint64_t& value)
{
    return core_read_msr(number, &value);
}
bool try_write_msr(std::uint32_t number, std::uint64_t value)
{
    return core_write_msr(number, value);
}

std::uint64_t nmis_taken()
{
    return nmi_count.load(std::memory_order_relaxed);
}

} // namespace undercroft::core
