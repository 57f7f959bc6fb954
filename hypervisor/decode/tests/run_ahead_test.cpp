// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/run_ahead.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "hypervisor/backend/fake/fake_cpu.hpp"
#include "hypervisor/decode/mmio_access.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::decode {
namespace {

using Bytes = std::vector<std::uint8_t>;
using backend::Segment;
constexpr unsigned rax = 0, rcx = 1, rdx = 2, rbx = 3, rsi = 6;

struct Access {
    char kind;
    std::uint64_t gpa;
    unsigned width;
    std::uint64_t value;
    bool operator==(Access const&) const = default;
};
struct Device final : core::MmioHandler {
    std::uint64_t read(std::uint64_t gpa, unsigned width) override
    {
        log.push_back({'r', gpa, width, 0});
        return 0x8877'6655'4433'2211 >> (64 - 8 * width);
    }
    void write(std::uint64_t gpa, unsigned width, std::uint64_t value) override
    {
        log.push_back({'w', gpa, width, value});
    }
    std::vector<Access> log;
};

/// What ahci_qc_issue of Debian's 6.1.0-56-amd64 does from the store to PxSACT to the one
/// to PxCI and on to its return (jumps' targets as linked; the return thunk's is arbitrary).
Bytes const ahci_qc_issue = {
    0x89, 0x7A, 0x34,                                           // mov [rdx+34h], edi: PxSACT
    0x80, 0x7E, 0x45, 0x00,                                     // cmp byte [rsi+45h], 0
    0x74, 0x3B,                                                 // je +3Bh
    0x48, 0x8B, 0x48, 0x08, 0x48, 0x8B, 0x09,                   // mov rcx, [rax+8]; mov rcx, [rcx]
    0x8B, 0x79, 0x08, 0x39, 0x7E, 0x48, 0x74, 0x2C,             // mov edi, [rcx+8]; cmp [rsi+48h], edi; je +2Ch
    0x4C, 0x8D, 0x42, 0x40, 0x8B, 0x7A, 0x40,                   // lea r8, [rdx+40h]; mov edi, [rdx+40h]: PxFBS
    0x48, 0x8B, 0x48, 0x08, 0x81, 0xE7, 0xFD, 0xF0, 0xFF, 0xFF, // mov rcx, [rax+8]; and edi, FFFFF0FDh
    0x48, 0x8B, 0x09, 0x8B, 0x49, 0x08, 0xC1, 0xE1, 0x08,       // mov rcx, [rcx]; mov ecx, [rcx+8]; shl ecx, 8
    0x09, 0xF9, 0x41, 0x89, 0x08,                               // or ecx, edi; mov [r8], ecx
    0x48, 0x8B, 0x48, 0x08, 0x48, 0x8B, 0x09,                   // mov rcx, [rax+8]; mov rcx, [rcx]
    0x8B, 0x49, 0x08, 0x89, 0x4E, 0x48,                         // mov ecx, [rcx+8]; mov [rsi+48h], ecx
    0x8B, 0x48, 0x5C,                                           // mov ecx, [rax+5Ch]
    0xBE, 0x01, 0x00, 0x00, 0x00,                               // mov esi, 1
    0xD3, 0xE6,                                                 // shl esi, cl
    0x89, 0x72, 0x38,                                           // mov [rdx+38h], esi: PxCI
    0x48, 0x8B, 0x40, 0x08, 0x48, 0x8B, 0x10,                   // mov rax, [rax+8]; mov rdx, [rax]
};
constexpr std::uint64_t after_ci = 0x40'0000 + 0x1D1A - 0x1CC9;

/// 64-bit kernel code at 0x40'0000 and 0x40'1000 (guest-physical 0x8000, 0xA000), data at
/// 0x60'0000 (0x9000), a device's registers at 0x80'0000 (guest-physical 0xFEB0'0000).
struct RunAhead : ::testing::Test {
    static constexpr std::uint64_t marked = 0x63; // present, writable, accessed, dirty
    static constexpr std::uint64_t code_entry = 0x4000, second_code_entry = 0x4008, data_entry = 0x5000,
                                   device_entry = 0x6000;
    static constexpr std::uint64_t device_page = 0xFEB0'0000;

    RunAhead()
    {
        ram.put<std::uint64_t>(0x1000, 0x2000 | marked);
        ram.put<std::uint64_t>(0x2000, 0x3000 | marked);
        ram.put<std::uint64_t>(0x3000 + 2 * 8, 0x4000 | marked);
        ram.put<std::uint64_t>(0x3000 + 3 * 8, 0x5000 | marked);
        ram.put<std::uint64_t>(0x3000 + 4 * 8, 0x6000 | marked);
        ram.put<std::uint64_t>(code_entry, 0x8000 | marked);
        ram.put<std::uint64_t>(second_code_entry, 0xA000 | marked);
        ram.put<std::uint64_t>(data_entry, 0x9000 | marked);
        ram.put<std::uint64_t>(device_entry, device_page | marked | 0x10);
        reset();
    }
    void reset()
    {
        cpu.set_segment(Segment::cs, {0x10, 0xA9B, 0xFFFF'FFFF, 0});
        cpu.set_system_registers(0x8001'0033, 0x1000, 0x20, 0xD01);
        cpu.set_rflags(0x202);
        cpu.set_rip(0x40'0000);
        cpu.paging_state.cpl = 0;
        cpu.registers() = {};
        cpu.registers().gpr[rdx] = 0x80'0100;
        cpu.registers().gpr[rsi] = 0x60'0000;
        cpu.registers().gpr[rax] = 0x60'0200;
        cpu.registers().gpr[rbx] = 0x60'0300;
        device.log.clear();
        table = {};
    }
    void code(Bytes const& bytes, std::uint64_t gpa = 0x8000)
    {
        for (std::uint8_t byte : bytes)
            ram.put<std::uint8_t>(gpa++, byte);
    }
    void code_then_store(Bytes bytes)
    {
        bytes.insert(bytes.end(), {0x89, 0x72, 0x38}); // mov [rdx+38h], esi
        code(bytes);
    }
    unsigned run(RunAheadLimits limits = {})
    {
        auto const watched = [](Gpa gpa) {
            return gpa.value >= device_page && gpa.value < device_page + watched_bytes;
        };
        return run_ahead(cpu, cache, table, ram, device, watched, access_rip, limits);
    }
    /// Nothing may have happened.
    void expect_stop(char const* why)
    {
        backend::Registers const before = cpu.registers();
        std::uint64_t const rip = cpu.rip(), rflags = cpu.rflags();
        table = {};
        EXPECT_EQ(run(), 0U) << why;
        EXPECT_EQ(std::memcmp(&before, &cpu.registers(), sizeof(before)), 0) << why;
        EXPECT_EQ(cpu.rip(), rip) << why;
        EXPECT_EQ(cpu.rflags(), rflags) << why;
        EXPECT_TRUE(device.log.empty()) << why;
    }
    static constexpr std::uint64_t access_rip = 0x40'0F00;
    static constexpr std::uint64_t watched_bytes = 0xFFE;
    paging::testing::Ram ram{0x10000};
    backend::fake::FakeCpu cpu;
    StepCache cache;
    RunAheadTable table;
    Device device;
};

TEST_F(RunAhead, DebiansAhciIssueTakesOneExit)
{
    code(ahci_qc_issue);
    ram.put<std::uint32_t>(0x9200 + 0x5C, 37); // hw_tag; the count is taken modulo 32
    cpu.registers().gpr[7] = 0x20;
    DecodeCache access_cache;
    ASSERT_EQ(access_mmio(cpu, access_cache, ram, device, device_page + 0x134, true), Progress::done);
    EXPECT_EQ(run({.instructions_between = 6, .accesses = 1}), 1U);
    EXPECT_EQ(device.log,
              (std::vector<Access>{{'w', device_page + 0x134, 4, 0x20}, {'w', device_page + 0x138, 4, 0x20}}));
    EXPECT_EQ(cpu.rip(), after_ci);
    EXPECT_EQ(cpu.registers().gpr[rcx], 37U);
    EXPECT_EQ(cpu.registers().gpr[rsi], 0x20U);
    EXPECT_EQ(cpu.registers().gpr[rdx], 0x80'0100U);
    EXPECT_EQ(cpu.rflags() & 0x8C5, 0U) << "20h: not zero, not negative, one bit; nothing shifted out";
}

TEST_F(RunAhead, AhciIssueWithFisBasedSwitchingStopsAtTheStoreToMemory)
{
    code(ahci_qc_issue);
    cpu.set_rip(0x40'0003);
    ram.put<std::uint8_t>(0x9045, 1);
    ram.put<std::uint64_t>(0x9208, 0x60'0400);
    ram.put<std::uint64_t>(0x9400, 0x60'0500);
    ram.put<std::uint32_t>(0x9508, 3); // port multiplier's port
    ram.put<std::uint32_t>(0x9048, 2); // the last one used
    EXPECT_EQ(run(), 2U) << "PxFBS read, PxFBS written";
    EXPECT_EQ(device.log, (std::vector<Access>{{'r', device_page + 0x140, 4, 0},
                                               {'w', device_page + 0x140, 4, (0x8877'6655 & 0xFFFF'F0FD) | 0x300}}));
    EXPECT_EQ(cpu.rip(), 0x40'0000U + 0x1D0A - 0x1CC9) << "mov [rsi+48h], ecx";
    EXPECT_EQ(cpu.registers().gpr[rcx], 3U);
}

TEST_F(RunAhead, InstructionsThatMayNotBePerformed)
{
    Bytes const forms[] = {
        {0x89, 0x0B},                   // mov [rbx], ecx: RAM
        {0x88, 0x0B},                   // mov [rbx], cl
        {0x01, 0x0B},                   // add [rbx], ecx
        {0x48, 0x83, 0x03, 0x01},       // add qword [rbx], 1
        {0xFF, 0x03},                   // inc dword [rbx]
        {0x09, 0x4A, 0x10},             // or [rdx+10h], ecx: device
        {0xF0, 0x0F, 0xAB, 0x0B},       // lock bts [rbx], ecx
        {0x0F, 0xA3, 0x0B},             // bt [rbx], ecx
        {0x0F, 0xBA, 0x2B, 0x01},       // bts dword [rbx], 1
        {0x87, 0x0B},                   // xchg [rbx], ecx
        {0x87, 0xC8},                   // xchg eax, ecx
        {0x0F, 0xC1, 0xC8},             // xadd eax, ecx
        {0x0F, 0xB1, 0xC8},             // cmpxchg eax, ecx
        {0xC1, 0x23, 0x01},             // shl dword [rbx], 1
        {0xC1, 0xC0, 0x01},             // rol eax, 1
        {0x0F, 0x94, 0x03},             // sete [rbx]
        {0x50},                         // push rax
        {0x58},                         // pop rax
        {0xE8, 0x00, 0x00, 0x00, 0x00}, // call
        {0xC3},                         // ret
        {0xFF, 0xE3},                   // jmp rbx
        {0xFF, 0x23},                   // jmp [rbx]
        {0xEA},
        {0xE3, 0x00},       // jrcxz
        {0xE2, 0x00},       // loop
        {0x66, 0x74, 0x00}, // je with an operand size
        {0xF3, 0x90},       // pause
        {0xF4},             // hlt
        {0xCC},
        {0xF1},
        {0xFA},
        {0xFB},             // sti: makes an interrupt shadow
        {0x8E, 0xD0},       // mov ss, eax: likewise
        {0x8C, 0xD8},       // mov eax, ds
        {0x0F, 0x20, 0xC0}, // mov rax, cr0
        {0x0F, 0x22, 0xD8}, // mov cr3, rax
        {0x0F, 0x23, 0xF8}, // mov dr7, rax
        {0x0F, 0x01, 0x3B}, // invlpg
        {0x0F, 0xA2},       // cpuid
        {0x0F, 0x31},       // rdtsc
        {0x0F, 0x30},       // wrmsr
        {0xEE},             // out
        {0x9C},
        {0x9D},
        {0xCD, 0x80},
        {0x0F, 0x05},
        {0x0F, 0x0B},                   // ud2
        {0xAB},                         // stosd
        {0xF3, 0xA5},                   // rep movsd
        {0xF7, 0xF1},                   // div ecx: may fault
        {0x0F, 0x10, 0x03},             // movups
        {0xC5, 0xF8, 0x77},             // vzeroupper
        {0xD9, 0xC0},                   // fld
        {0x65, 0x8B, 0x03},             // mov eax, gs:[rbx]
        {0x64, 0x8B, 0x03},             // mov eax, fs:[rbx]
        {0x0F, 0xAE, 0xF0},             // mfence
        {0xC4, 0xE2, 0x71, 0xF7, 0xC0}, // shlx
        {0xD7},                         // xlat
        {0xF0, 0x89, 0x0A},             // lock mov: no instruction
        {0x06},                         // none in 64-bit mode
    };
    for (Bytes const& form : forms) {
        reset();
        code_then_store(form);
        expect_stop(::testing::PrintToString(form).c_str());
    }
}

TEST_F(RunAhead, LoadsThatMightFaultOrAreNotRam)
{
    Bytes const load = {0x8B, 0x0B}; // mov ecx, [rbx]
    code_then_store(load);
    EXPECT_EQ(run(), 1U) << "as a proof that only the page decides below";
    struct Case {
        std::uint64_t entry;
        char const* why;
    };
    Case const cases[] = {
        {0x9000 | (marked & ~1ULL), "not present"},
        {0x9000 | (marked & ~0x20ULL), "not accessed: the processor would mark it"},
        {0x9000 | marked | 0x10, "not write-back"},
        {0x9000 | marked | 0x80, "PAT"},
        {0xFEC0'0000 | marked, "another device"},
        {0x8000'0000'0000'9000 | marked | 1ULL << 51, "address of 52 bits"},
    };
    for (auto const& [entry, why] : cases) {
        reset();
        ram.put<std::uint64_t>(data_entry, entry);
        expect_stop(why);
    }
    reset();
    for (std::uint64_t table : std::initializer_list<std::uint64_t>{0x1000, 0x2000, 0x3018, data_entry})
        ram.put<std::uint64_t>(table, *reinterpret_cast<std::uint64_t const*>(ram.view(Gpa{table}, 8)) | 4);
    ram.put<std::uint64_t>(data_entry, 0x9000 | marked | 4);
    expect_stop("a user page at every level");
    ram.put<std::uint64_t>(data_entry, 0x9000 | marked);
    EXPECT_EQ(run(), 1U) << "a supervisor page below user tables";
    for (std::uint64_t address :
         {0x60'0FFDULL, 0x8000'0000'0000ULL, 0x60'0000ULL + (1ULL << 30), 0xFFFF'7FFF'FFFF'FFF0ULL}) {
        reset();
        cpu.registers().gpr[rbx] = address;
        expect_stop("crosses the page, not canonical, not mapped");
    }
}

TEST_F(RunAhead, LargePages)
{
    code_then_store({0x8B, 0x0B});
    ram.put<std::uint32_t>(0x9300, 0x1234);
    ram.put<std::uint64_t>(0x3000 + 3 * 8, marked | 0x80); // 2 MiB at 0
    cpu.registers().gpr[rbx] = 0x60'9300;
    cpu.registers().gpr[rsi] = 5;
    EXPECT_EQ(run(), 1U);
    EXPECT_EQ(cpu.registers().gpr[rcx], 0x1234U);
    for (std::uint64_t bad : {0x1000ULL, 0x2000ULL, 0x8ULL}) { // PAT, reserved, write-through
        reset();
        cpu.registers().gpr[rbx] = 0x60'9300;
        ram.put<std::uint64_t>(0x3000 + 3 * 8, marked | 0x80 | bad);
        expect_stop("large page");
    }
}

TEST_F(RunAhead, StoresOnlyWhereWatchedAndAllowed)
{
    Bytes const store = {0x89, 0x32}; // mov [rdx], esi
    code(store);
    EXPECT_EQ(run(), 1U);
    for (std::uint64_t entry :
         std::initializer_list<std::uint64_t>{marked & ~2ULL, marked & ~0x40ULL, marked & ~0x20ULL, marked & ~1ULL}) {
        reset();
        ram.put<std::uint64_t>(device_entry, device_page | entry);
        expect_stop("read-only, not dirty, not accessed, not present");
    }
    ram.put<std::uint64_t>(device_entry, device_page | marked);
    for (std::uint64_t address : {0x80'0FFBULL, 0x80'0FFCULL, 0x80'0FFEULL}) {
        reset();
        cpu.registers().gpr[rdx] = address;
        if (address == 0x80'0FFB)
            continue;
        expect_stop("not wholly inside what is watched");
    }
    reset();
    ram.put<std::uint64_t>(device_entry, (device_page + page_bytes) | marked);
    expect_stop("not watched");
}

TEST_F(RunAhead, LoadFromTheDevice)
{
    code({0x8B, 0x4A, 0x10}); // mov ecx, [rdx+10h]
    EXPECT_EQ(run({.instructions_between = 1, .accesses = 8}), 1U);
    EXPECT_EQ(cpu.registers().gpr[rcx], 0x8877'6655U);
    reset();
    code({0x0F, 0x44, 0x4A, 0x10}); // cmove ecx, [rdx+10h]
    expect_stop("conditional load from a device");
}

TEST_F(RunAhead, FetchIsCheckedToo)
{
    Bytes const store = {0x89, 0x72, 0x38};
    code(store);
    for (std::uint64_t entry :
         std::initializer_list<std::uint64_t>{marked | 1ULL << 63, marked & ~1ULL, marked & ~0x20ULL, marked | 0x10}) {
        reset();
        ram.put<std::uint64_t>(code_entry, 0x8000 | entry);
        expect_stop("no execution, not present, not accessed, not write-back");
    }
    ram.put<std::uint64_t>(code_entry, device_page | marked);
    expect_stop("code in a device");
    ram.put<std::uint64_t>(code_entry, 0x8000 | marked);
    ram.put<std::uint64_t>(0x3000 + 2 * 8, 0x4000 | marked | 1ULL << 63);
    expect_stop("no execution, higher up");
    cpu.set_system_registers(0x8001'0033, 0x1000, 0x20, 0x501);
    expect_stop("bit 63 is reserved without EFER.NXE");
}

TEST_F(RunAhead, InstructionAcrossTwoPages)
{
    code({0x89, 0x72}, 0x8FFE);
    code({0x38}, 0xA000);
    cpu.set_rip(0x40'0FFE);
    EXPECT_EQ(run({.instructions_between = 1, .accesses = 8}), 1U);
    EXPECT_EQ(cpu.rip(), 0x40'1001U);
    for (std::uint64_t entry :
         std::initializer_list<std::uint64_t>{marked | 1ULL << 63, marked & ~1ULL, marked & ~0x20ULL}) {
        reset();
        cpu.set_rip(0x40'0FFE);
        ram.put<std::uint64_t>(second_code_entry, 0xA000 | entry);
        expect_stop("the second page");
    }
    reset(); // one that ends with its page is whole
    code({0x89, 0x32}, 0x8FFE);
    cpu.set_rip(0x40'0FFE);
    EXPECT_EQ(run(), 1U);
    EXPECT_EQ(cpu.rip(), 0x40'1000U);
}

TEST_F(RunAhead, StatesInWhichTheGuestRunsItself)
{
    code({0x89, 0x72, 0x38});
    cpu.set_rflags(0x302);
    expect_stop("TF");
    reset();
    cpu.debug_control = 0x402;
    expect_stop("a breakpoint");
    cpu.debug_control = 0x400;
    cpu.event_to_inject = true;
    expect_stop("an event to inject");
    cpu.event_to_inject = false;
    cpu.paging_state.cpl = 3;
    expect_stop("user code");
    reset();
    cpu.set_segment(Segment::cs, {0x10, 0xC9B, 0xFFFF'FFFF, 0});
    expect_stop("32-bit code");
    reset();
    cpu.set_system_registers(0x8001'0033, 0x1000, 1ULL << 24 | 0x20, 0xD01);
    expect_stop("protection keys for supervisor pages");
    reset();
    EXPECT_EQ(run(), 1U);
}

TEST_F(RunAhead, Limits)
{
    Bytes loop = {0xFF, 0xC1, 0xEB, 0xFC}; // inc ecx; jmp back
    code(loop);
    EXPECT_EQ(run({.instructions_between = 31, .accesses = 8}), 0U);
    EXPECT_EQ(cpu.registers().gpr[rcx], 16U);
    EXPECT_EQ(cpu.rip(), 0x40'0002U);
    reset();
    code({0x89, 0x32, 0xEB, 0xFC}); // mov [rdx], esi; jmp back
    EXPECT_EQ(run({.instructions_between = 2, .accesses = 5}), 5U);
    EXPECT_EQ(device.log.size(), 5U);
    EXPECT_EQ(cpu.rip(), 0x40'0002U);
}

TEST_F(RunAhead, JumpToAnAddressThatIsNotCanonical)
{
    for (std::uint64_t entry : {0x1000 + 255 * 8, 0x2000 + 511 * 8, 0x3000 + 511 * 8})
        ram.put<std::uint64_t>(entry, ((entry & 0xF000) + 0x1000) | marked);
    ram.put<std::uint64_t>(0x4000 + 511 * 8, 0x8000 | marked);
    code({0xEB, 0x0E}, 0x8FF0); // to 8000'0000'0000h
    cpu.set_rip(0x7FFF'FFFF'FFF0);
    expect_stop("the jump itself faults");
    code({0xEB, 0x0C}, 0x8FF0);
    EXPECT_EQ(run(), 0U);
    EXPECT_EQ(cpu.rip(), 0x7FFF'FFFF'FFFEU);
}

TEST_F(RunAhead, ChangedCodeIsDecodedAnew)
{
    code({0x89, 0x72, 0x38});
    EXPECT_EQ(run({.instructions_between = 1, .accesses = 8}), 1U);
    cpu.set_rip(0x40'0000);
    code({0x89, 0x72, 0x34});
    EXPECT_EQ(run({.instructions_between = 1, .accesses = 8}), 1U);
    cpu.set_rip(0x40'0000);
    code({0xCC});
    EXPECT_EQ(run(), 0U);
    EXPECT_EQ(device.log, (std::vector<Access>{{'w', device_page + 0x138, 4, 0x60'0000},
                                               {'w', device_page + 0x134, 4, 0x60'0000}}));
}

TEST_F(RunAhead, GivesUpWhereNothingFollows)
{
    code({0xFF, 0xC1, 0xCC}); // inc ecx; int3
    for (unsigned i = 0; i < RunAheadTable::trials + 10; ++i) {
        cpu.set_rip(0x40'0000);
        EXPECT_EQ(run(), 0U);
    }
    EXPECT_EQ(cpu.registers().gpr[rcx], RunAheadTable::trials);
    for (unsigned i = 0; i < RunAheadTable::rest_visits; ++i) {
        cpu.set_rip(0x40'0000);
        EXPECT_EQ(run(), 0U);
    }
    EXPECT_EQ(cpu.registers().gpr[rcx], RunAheadTable::trials + 1) << "one more trial after a rest";
}

TEST_F(RunAhead, SuccessRenewsTheTrials)
{
    code({0xFF, 0xC1, 0x0F, 0x85, 0x04, 0, 0, 0, 0x89, 0x72, 0x38, 0xCC, 0xCC}); // inc ecx; jne; store; int3
    unsigned merged = 0;
    for (unsigned i = 0; i < 100; ++i) {
        cpu.set_rip(0x40'0000);
        cpu.registers().gpr[rcx] = i % 4 == 0 ? 0xFFFF'FFFF : 1;
        merged += run();
    }
    EXPECT_EQ(merged, 25U);
}

} // namespace
} // namespace undercroft::decode
