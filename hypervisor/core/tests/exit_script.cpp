// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/tests/exit_script.hpp"

namespace undercroft::core::testing {
namespace {

using backend::Exit;
using backend::ExitKind;
using wire::CounterId;
constexpr auto nested = CounterId::exits_nested_fault;
constexpr auto io = CounterId::exits_io;
constexpr auto msr = CounterId::exits_msr;
constexpr auto init_sipi = CounterId::exits_init_sipi;
constexpr auto undecoded = CounterId::decode_unknown;

constexpr std::uint64_t start64 = 0x40'0000;
constexpr std::uint64_t reset_rip = 0xFFF0, reset_cs = 0xFFFF'0000;
constexpr std::uint64_t device = 0xFEBF'0000;
constexpr std::uint64_t full = ~std::uint64_t{0};
constexpr std::uint64_t efer = 0xC000'0080;
constexpr std::uint64_t efer_lme_lma_nxe = 0xD00;

Exit load(std::uint64_t gpa)
{
    return {.kind = ExitKind::nested_fault, .gpa = Gpa{gpa}};
}
Exit store(std::uint64_t gpa)
{
    return {.kind = ExitKind::nested_fault, .gpa = Gpa{gpa}, .is_write = true};
}
Exit in(std::uint16_t port, std::uint8_t width)
{
    return {.kind = ExitKind::port, .port = port, .width = width};
}
Exit out(std::uint16_t port, std::uint8_t width)
{
    return {.kind = ExitKind::port, .port = port, .width = width, .is_write = true};
}
Exit string_port(std::uint16_t number, std::uint8_t width, bool is_write, bool rep)
{
    return {.kind = ExitKind::port, .port = number, .width = width, .is_write = is_write, .string = true, .rep = rep};
}
Exit only(ExitKind kind)
{
    return {.kind = kind};
}

std::vector<Scenario> device_accesses()
{
    return {
        {.name = "loads merge into the register as the processor does",
         .steps =
             {
                 {.name = "mov eax, [rbx+38h] clears the upper half",
                  .code = {0x8B, 0x43, 0x38},
                  .registers = {{rax, full}},
                  .exit = load(device + 0x38),
                  .rip = start64 + 3,
                  .registers_after = {{rax, 0x4433'2211}},
                  .calls = {{"mmio_read", device + 0x38, 4}},
                  .counters = {nested}},
                 {.name = "mov ax, [rbx] keeps the rest",
                  .code = {0x66, 0x8B, 0x03},
                  .registers = {{rax, full}},
                  .exit = load(device),
                  .rip = start64 + 6,
                  .registers_after = {{rax, 0xFFFF'FFFF'FFFF'2211}},
                  .calls = {{"mmio_read", device, 2}},
                  .counters = {nested}},
                 {.name = "mov ah, [rbx]",
                  .code = {0x8A, 0x23},
                  .registers = {{rax, 0}},
                  .exit = load(device),
                  .rip = start64 + 8,
                  .registers_after = {{rax, 0x1100}},
                  .calls = {{"mmio_read", device, 1}},
                  .counters = {nested}},
                 {.name = "mov rcx, [rbx]",
                  .code = {0x48, 0x8B, 0x0B},
                  .exit = load(device),
                  .rip = start64 + 11,
                  .registers_after = {{rcx, device_value}},
                  .calls = {{"mmio_read", device, 8}},
                  .counters = {nested}},
             }},
        {.name = "stores and read-modify-write",
         .steps =
             {
                 {.name = "mov dword [rbx+3Ch], 12345678h",
                  .code = {0xC7, 0x43, 0x3C, 0x78, 0x56, 0x34, 0x12},
                  .exit = store(device + 0x3C),
                  .rip = start64 + 7,
                  .calls = {{"mmio_write", device + 0x3C, 4, 0x1234'5678}},
                  .counters = {nested}},
                 {.name = "or dword [rbx], 4: both accesses, flags of the result",
                  .code = {0x83, 0x0B, 0x04},
                  .exit = store(device),
                  .rip = start64 + 10,
                  .calls = {{"mmio_read", device, 4}, {"mmio_write", device, 4, 0x4433'2215}},
                  .counters = {nested},
                  .rflags = 0x202}, // 15h has odd parity; not zero, not negative
             }},
        {.name = "16-bit code in real mode",
         .mode = Mode::real,
         .steps = {{.name = "mov es:[bx], eax",
                    .code = {0x66, 0x26, 0x89, 0x07},
                    .registers = {{rax, 0xCAFE'F00D}},
                    .exit = store(0xF'0000),
                    .rip = 4,
                    .calls = {{"mmio_write", 0xF'0000, 4, 0xCAFE'F00D}},
                    .counters = {nested}}}},
    };
}

std::vector<Scenario> undecodable_accesses()
{
    Call const ask{"may_open", device};
    Call const open{"single_step", 1}, closed{"single_step", 0}, look{"after_open_step"};
    Step const movups{.name = "movups [rbx], xmm0 is stepped",
                      .code = {0x0F, 0x11, 0x03},
                      .exit = store(device),
                      .rip = start64,
                      .calls = {ask, open},
                      .counters = {nested, undecoded}};
    return {
        {.name = "an instruction that cannot be emulated runs once in the open",
         .steps = {movups,
                   {.name = "done", .exit = only(ExitKind::debug_trap), .rip = start64, .calls = {closed, look}}}},
        {.name = "never on the sensor's own pages",
         .steps = {{.name = "refused",
                    .code = {0x0F, 0x11, 0x03},
                    .exit = store(device),
                    .answers = {.may_open = false},
                    .rip = start64,
                    .calls = {ask, {"inject_general_protection"}},
                    .counters = {nested, undecoded}}}},
        {.name = "an instruction that does not fit the fault",
         .steps = {{.name = "a load with a write fault",
                    .code = {0x8B, 0x03},
                    .exit = store(device),
                    .rip = start64,
                    .calls = {ask, open},
                    .counters = {nested, undecoded}}}},
        {.name = "code that cannot be read",
         .rip = 0x50'0000,
         .steps = {{.name = "not mapped",
                    .exit = load(device),
                    .rip = 0x50'0000,
                    .calls = {ask, open},
                    .counters = {nested, undecoded}}}},
        {.name = "a fault on another page during the step ends it first",
         .steps = {movups,
                   {.name = "the sensor's memory stays closed",
                    .exit = load(device),
                    .answers = {.may_open = false},
                    .rip = start64,
                    .calls = {closed, look, ask, {"inject_general_protection"}},
                    .counters = {nested, undecoded}}}},
        {.name = "an NMI closes the open view: the instruction faults again and is stepped anew",
         .steps = {movups,
                   {.name = "flush",
                    .posts = {{Post::Kind::flush}, {Post::Kind::kick}},
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {{"consume_nmi"}, {"flush_nested"}}},
                   {.name = "again",
                    .exit = store(device),
                    .rip = start64,
                    .calls = {closed, look, ask, open},
                    .counters = {nested, undecoded}},
                   {.name = "done", .exit = only(ExitKind::debug_trap), .rip = start64, .calls = {closed, look}}}},
        {.name = "INIT during the step: the new guest must not start in the open",
         .steps = {movups,
                   {.name = "INIT, then SIPI 10h",
                    .posts = {{Post::Kind::init}, {Post::Kind::kick}, {Post::Kind::startup, 0x10}},
                    .exit = only(ExitKind::nmi),
                    .rip = 0,
                    .registers_after = {{rdx, signature}, {rbx, 0}},
                    .calls = {{"consume_nmi"}, closed, look},
                    .counters = {init_sipi, init_sipi},
                    .cs_base = 0x1'0000,
                    .rflags = 2}}},
        {.name = "the memory monitor comes first, whatever the access",
         .steps =
             {{.name = "store",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{0x5008}, .is_write = true},
               .answers = {.monitor_takes = true},
               .rip = start64,
               .calls = {{"memory_fault", 0x5008, 1, 0}},
               .counters = {nested}},
              {.name = "fetch",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{0x6000}, .is_fetch = true},
               .answers = {.monitor_takes = true},
               .rip = start64,
               .calls = {{"memory_fault", 0x6000, 0, 1}},
               .counters = {nested}},
              {.name = "walk of page tables",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{0x7000}, .is_write = true, .by_page_walk = true},
               .answers = {.monitor_takes = true},
               .rip = start64,
               .calls = {{"memory_fault", 0x7000, 1, 0}},
               .counters = {nested}},
              {.name = "push of an event's frame",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{0x7000}, .is_write = true, .during_event = true},
               .answers = {.monitor_takes = true},
               .rip = start64,
               .calls = {{"memory_fault", 0x7000, 1, 0}},
               .counters = {nested}},
              {.name = "an event's frame where no memory is",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{device}, .is_write = true, .during_event = true},
               .rip = start64,
               .calls = {{"guest_shutdown"}},
               .counters = {nested},
               .ends_in_shutdown = true}}},
        {.name = "hidden or absent memory as code and as page tables",
         .steps =
             {{.name = "fetch",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{device}, .is_fetch = true},
               .rip = start64,
               .calls = {{"inject_undefined"}},
               .counters = {nested}},
              {.name = "page walk",
               .exit = {.kind = ExitKind::nested_fault, .gpa = Gpa{device}, .is_write = true, .by_page_walk = true},
               .rip = start64,
               .calls = {{"inject_general_protection"}},
               .counters = {nested}}}},
    };
}

std::vector<Scenario> ports()
{
    return {
        {.name = "in",
         .steps = {{.name = "al keeps 56 bits",
                    .registers = {{rax, full}},
                    .exit = in(0x71, 1),
                    .rip = start64 + 1,
                    .registers_after = {{rax, 0xFFFF'FFFF'FFFF'FF11}},
                    .calls = {{"port_read", 0x71, 1}},
                    .counters = {io},
                    .next_rip_offset = 1},
                   {.name = "ax keeps 48 bits",
                    .registers = {{rax, full}},
                    .exit = in(0xCFC, 2),
                    .rip = start64 + 3,
                    .registers_after = {{rax, 0xFFFF'FFFF'FFFF'2211}},
                    .calls = {{"port_read", 0xCFC, 2}},
                    .counters = {io},
                    .next_rip_offset = 2},
                   {.name = "eax clears the upper half",
                    .registers = {{rax, full}},
                    .exit = in(0xCFC, 4),
                    .rip = start64 + 4,
                    .registers_after = {{rax, 0x4433'2211}},
                    .calls = {{"port_read", 0xCFC, 4}},
                    .counters = {io},
                    .next_rip_offset = 1}}},
        {.name = "out passes the operand's bytes only",
         .steps = {{.name = "al",
                    .registers = {{rax, 0x1122'3344'5566'7788}},
                    .exit = out(0x70, 1),
                    .rip = start64 + 2,
                    .calls = {{"port_write", 0x70, 1, 0x88}},
                    .counters = {io},
                    .next_rip_offset = 2},
                   {.name = "ax",
                    .exit = out(0xCF8, 2),
                    .rip = start64 + 4,
                    .calls = {{"port_write", 0xCF8, 2, 0x7788}},
                    .counters = {io},
                    .next_rip_offset = 2},
                   {.name = "eax",
                    .exit = out(0xCF8, 4),
                    .rip = start64 + 5,
                    .calls = {{"port_write", 0xCF8, 4, 0x5566'7788}},
                    .counters = {io},
                    .next_rip_offset = 1}}},
        {.name = "string forms go through the guest's page tables",
         .steps = {{.name = "rep outsw writes from the code itself",
                    .code = {0x66, 0xF3, 0x6F, 0x12, 0x34},
                    .registers = {{rcx, 2}, {rsi, start64 + 1}, {rdx, 0x1F0}},
                    .exit = string_port(0x1F0, 2, true, true),
                    .rip = start64 + 3,
                    .registers_after = {{rcx, 0}, {rsi, start64 + 5}},
                    .calls = {{"port_write", 0x1F0, 2, 0x6FF3}, {"port_write", 0x1F0, 2, 0x3412}},
                    .counters = {io}},
                   {.name = "insd where nothing is mapped",
                    .code = {0x6D},
                    .registers = {{rdi, 0x7000'0000}},
                    .exit = string_port(0x1F0, 4, false, false),
                    .rip = start64 + 3,
                    .calls = {{"inject_page_fault", 0x7000'0000, 2}},
                    .counters = {io}},
                   {.name = "code that is not what exited",
                    .code = {0x90},
                    .exit = string_port(0x1F0, 4, false, false),
                    .rip = start64 + 3,
                    .calls = {{"inject_general_protection"}},
                    .counters = {io, undecoded}}}},
    };
}

Step efer_write(std::string_view name, std::uint64_t value, bool accepted, std::uint64_t rip)
{
    return {.name = name,
            .code = {0x0F, 0x30},
            .registers = {{rcx, efer}, {rax, (0xAAAA'AAAAULL << 32) | (value & 0xFFFF'FFFF)}, {rdx, value >> 32}},
            .exit = only(ExitKind::msr_write),
            .rip = accepted ? rip + 2 : rip,
            .calls = {accepted ? Call{"set_guest_efer", value} : Call{"inject_general_protection"}},
            .counters = {msr}};
}

std::vector<Scenario> msrs()
{
    constexpr std::uint64_t sce = 1, svme = 1 << 12, lme = 1 << 8, ffxsr = 1 << 14;
    return {
        {.name = "EFER",
         .steps = {{.name = "read",
                    .code = {0x0F, 0x32},
                    .registers = {{rcx, 0xFFFF'FFFF'0000'0000 | efer}, {rax, full}, {rdx, full}},
                    .exit = only(ExitKind::msr_read),
                    .rip = start64 + 2,
                    .registers_after = {{rax, efer_lme_lma_nxe}, {rdx, 0}},
                    .counters = {msr}},
                   efer_write("SCE", efer_lme_lma_nxe | sce, true, start64 + 2),
                   efer_write("FFXSR", efer_lme_lma_nxe | sce | ffxsr, true, start64 + 4),
                   efer_write("SVME is not there", efer_lme_lma_nxe | svme, false, start64 + 6),
                   efer_write("a reserved low bit", efer_lme_lma_nxe | 2, false, start64 + 6),
                   efer_write("a reserved high bit", efer_lme_lma_nxe | 1ULL << 63, false, start64 + 6),
                   efer_write("LME off while paging", efer_lme_lma_nxe & ~lme, false, start64 + 6)}},
        {.name = "EFER without paging",
         .mode = Mode::protected32,
         .steps = {efer_write("LME on", lme, true, 0x8000), efer_write("LME off", 0, true, 0x8002)}},
        {.name = "others are the machine's to answer",
         .steps = {{.name = "read",
                    .code = {0x0F, 0x32},
                    .registers = {{rcx, 0x1B}, {rax, full}, {rdx, full}},
                    .exit = only(ExitKind::msr_read),
                    .answers = {.msr_value = 0x1122'3344'FEE0'0900},
                    .rip = start64 + 2,
                    .registers_after = {{rax, 0xFEE0'0900}, {rdx, 0x1122'3344}},
                    .calls = {{"msr_read", 0x1B}},
                    .counters = {msr}},
                   {.name = "with prefixes: the whole instruction is skipped",
                    .code = {0x66, 0x48, 0x0F, 0x32},
                    .exit = only(ExitKind::msr_read),
                    .answers = {.msr_value = 7},
                    .rip = start64 + 6,
                    .registers_after = {{rax, 7}, {rdx, 0}},
                    .calls = {{"msr_read", 0x1B}},
                    .counters = {msr}},
                   {.name = "read that faults leaves the registers",
                    .registers = {{rcx, 0xC001'0117}},
                    .exit = only(ExitKind::msr_read),
                    .answers = {.msr_faults = true},
                    .rip = start64 + 6,
                    .calls = {{"msr_read", 0xC001'0117}, {"inject_general_protection"}},
                    .counters = {msr}},
                   {.name = "write",
                    .code = {0x0F, 0x30},
                    .registers = {{rcx, 0x830}, {rax, 0xFFFF'FFFF'0000'0500}, {rdx, 0xFFFF'FFFF'0000'0002}},
                    .exit = only(ExitKind::msr_write),
                    .rip = start64 + 8,
                    .calls = {{"msr_write", 0x830, 0x2'0000'0500}},
                    .counters = {msr}},
                   {.name = "write that faults",
                    .exit = only(ExitKind::msr_write),
                    .answers = {.msr_faults = true},
                    .rip = start64 + 8,
                    .calls = {{"msr_write", 0x830, 0x2'0000'0500}, {"inject_general_protection"}},
                    .counters = {msr}}}},
        {.name = "RDMSR whose bytes cannot be read any more",
         .rip = 0x50'0000,
         .steps = {{.name = "two bytes are skipped",
                    .registers = {{rcx, efer}},
                    .exit = only(ExitKind::msr_read),
                    .rip = 0x50'0002,
                    .registers_after = {{rax, efer_lme_lma_nxe}, {rdx, 0}},
                    .counters = {msr}}}},
    };
}

std::vector<Scenario> hypercalls_and_the_rest()
{
    constexpr auto hyper = CounterId::exits_hypercall;
    constexpr auto unknown = CounterId::exits_unknown;
    Call const undefined{"inject_undefined"};
    return {
        {.name = "hypercalls",
         .steps = {{.name = "from anybody else: as without a hypervisor",
                    .code = {0x0F, 0x01, 0xD9},
                    .exit = only(ExitKind::hypercall),
                    .rip = start64,
                    .calls = {{"hypercall"}, undefined},
                    .counters = {hyper, CounterId::hypercalls_refused}},
                   {.name = "taken",
                    .code = {0x0F, 0x01, 0xD9},
                    .exit = only(ExitKind::hypercall),
                    .answers = {.hypercall_taken = true},
                    .rip = start64 + 3,
                    .calls = {{"hypercall"}},
                    .counters = {hyper}}}},
        {.name = "virtualisation instructions do not exist",
         .steps = {{.name = "vmrun", .exit = only(ExitKind::virtualisation), .rip = start64, .calls = {undefined}}}},
        {.name = "#GP",
         .steps = {{.name = "of a kernel's own, whatever the instruction",
                    .code = {0x0F, 0x01, 0xDA}, // vmload
                    .exit = only(ExitKind::protection_fault),
                    .rip = start64,
                    .calls = {{"deliver_protection_fault"}},
                    .counters = {CounterId::exits_protection_fault}},
                   {.name = "of a program's VMLOAD",
                    .code = {0x0F, 0x01, 0xDA},
                    .exit = only(ExitKind::protection_fault),
                    .rip = start64,
                    .calls = {undefined},
                    .counters = {CounterId::exits_protection_fault},
                    .cpl = 3},
                   {.name = "of a program's HLT",
                    .code = {0xF4},
                    .exit = only(ExitKind::protection_fault),
                    .rip = start64,
                    .calls = {{"deliver_protection_fault"}},
                    .counters = {CounterId::exits_protection_fault},
                    .cpl = 3}}},
        {.name = "exits that nobody asked for",
         .steps = {{.name = "unknown",
                    .exit = {.kind = ExitKind::unknown, .raw_reason = 0x8A},
                    .rip = start64,
                    .calls = {undefined},
                    .counters = {unknown}}}},
        {.name = "the sensor's own timer",
         .steps = {{.name = "changes nothing",
                    .exit = only(ExitKind::timer),
                    .rip = start64,
                    .counters = {CounterId::exits_interrupt}}}},
        {.name = "an intercepted halt ends as if woken, an interrupt exit changes nothing",
         .steps = {{.name = "halt",
                    .code = {0xF4},
                    .exit = only(ExitKind::halt),
                    .rip = start64 + 1,
                    .counters = {CounterId::exits_halt}},
                   {.name = "interrupt",
                    .exit = only(ExitKind::interrupt),
                    .rip = start64 + 1,
                    .counters = {CounterId::exits_interrupt}}}},
        {.name = "triple fault",
         .steps = {{.name = "the machine ends",
                    .exit = only(ExitKind::shutdown),
                    .rip = start64,
                    .calls = {{"guest_shutdown"}},
                    .ends_in_shutdown = true}}},
    };
}

std::vector<Scenario> calls_between_cpus()
{
    using enum Post::Kind;
    Call const taken{"consume_nmi"}, flushed{"flush_nested"};
    auto const started = [](std::string_view name, std::vector<Post> posts, std::vector<Post> later,
                            std::uint8_t vector, unsigned times) {
        posts.push_back({kick});
        return Step{.name = name,
                    .posts = std::move(posts),
                    .exit = only(ExitKind::nmi),
                    .while_waiting = std::move(later),
                    .rip = 0,
                    .registers_after = {{rdx, signature}, {rax, 0}, {rbx, 0}},
                    .calls = {{"consume_nmi"}},
                    .counters = std::vector(times, init_sipi),
                    .cs_base = std::uint64_t{vector} << 12,
                    .rflags = 2};
    };
    return {
        {.name = "NMI",
         .steps = {{.name = "the guest's own",
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {taken, {"inject_nmi"}}},
                   {.name = "flush, and the call is repeated",
                    .posts = {{flush}, {kick}, {kick}},
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {taken, flushed}},
                   {.name = "the repeated call comes late",
                    .exit = only(ExitKind::nmi),
                    .answers = {.time = 99},
                    .rip = start64,
                    .calls = {taken}},
                   {.name = "the guest's own, soon after",
                    .exit = only(ExitKind::nmi),
                    .answers = {.time = 99},
                    .rip = start64,
                    .calls = {taken, {"inject_nmi"}}},
                   {.name = "the guest's own finds a request whose call has not been sent yet",
                    .posts = {{flush}},
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {taken, {"inject_nmi"}, flushed}},
                   {.name = "three calls merge",
                    .posts = {{flush}, {kick}, {kick}, {kick}},
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {taken, flushed}},
                   {.name = "what has merged is not waited for for ever",
                    .exit = only(ExitKind::nmi),
                    .answers = {.time = 100},
                    .rip = start64,
                    .calls = {taken, {"inject_nmi"}}},
                   {.name = "and void from then on",
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {taken, {"inject_nmi"}}},
                   {.name = "SIPI to a running CPU means nothing",
                    .posts = {{Post::Kind::startup, 0x77}},
                    .exit = only(ExitKind::nmi),
                    .rip = start64,
                    .calls = {taken, {"inject_nmi"}}}}},
        {.name = "INIT, wait, SIPI", .steps = {started("starts", {{init}}, {{Post::Kind::startup, 0x9A}}, 0x9A, 3)}},
        {.name = "SIPI before the CPU has noticed the INIT",
         .steps = {started("starts", {{init}, {Post::Kind::startup, 0x08}}, {}, 0x08, 2)}},
        {.name = "the second SIPI of the manual's sequence is ignored",
         .steps = {started("starts", {{init}, {Post::Kind::startup, 0x08}, {Post::Kind::startup, 0x99}}, {}, 0x08, 2)}},
        {.name = "INIT again while waiting voids nothing but itself",
         .steps = {started("starts", {{init}}, {{init}, {Post::Kind::startup, 0x20}}, 0x20, 4)}},
        {.name = "an INIT after the SIPI voids it",
         .steps = {started("starts", {{init}, {Post::Kind::startup, 0x08}, {init}}, {{Post::Kind::startup, 0x21}}, 0x21,
                           3)}},
        {.name = "INIT again after the start",
         .steps = {started("first", {{init}}, {{Post::Kind::startup, 0x10}}, 0x10, 3),
                   started("second", {{init}, {Post::Kind::startup, 0x11}}, {}, 0x11, 2)}},
        {.name = "a CPU that waits still drops its translations",
         .steps = {{.name = "INIT, flush, SIPI",
                    .posts = {{init}, {kick}},
                    .exit = only(ExitKind::nmi),
                    .while_waiting = {{flush}, {Post::Kind::startup, 0x30}},
                    .rip = 0,
                    .registers_after = {{rdx, signature}, {rbx, 0}},
                    .calls = {taken, flushed},
                    .counters = {init_sipi, init_sipi, init_sipi},
                    .cs_base = 0x3'0000}}},
        {.name = "INIT to the bootstrap processor",
         .bootstrap = true,
         .steps = {{.name = "starts again at the reset vector",
                    .posts = {{init}, {kick}},
                    .exit = only(ExitKind::nmi),
                    .rip = reset_rip,
                    .registers_after = {{rdx, signature}, {rbx, 0}},
                    .calls = {taken},
                    .counters = {init_sipi, init_sipi},
                    .cs_base = reset_cs,
                    .rflags = 2}}},
        {.name = "INIT by hardware",
         .steps = {{.name = "waits, starts",
                    .exit = only(ExitKind::init),
                    .while_waiting = {{Post::Kind::startup, 0x42}},
                    .rip = 0,
                    .registers_after = {{rdx, signature}, {rbx, 0}},
                    .counters = {init_sipi, init_sipi, init_sipi},
                    .cs_base = 0x4'2000}}},
        {.name = "a parked processor",
         .waiting = true,
         .steps = {started("starts", {{Post::Kind::startup, 0x55}}, {}, 0x55, 2)}},
    };
}

} // namespace

std::vector<Scenario> const& exit_scenarios()
{
    static std::vector<Scenario> const all = [] {
        std::vector<Scenario> list;
        for (auto part : {device_accesses(), undecodable_accesses(), ports(), msrs(), hypercalls_and_the_rest(),
                          calls_between_cpus()})
            list.insert(list.end(), part.begin(), part.end());
        return list;
    }();
    return all;
}

} // namespace undercroft::core::testing
