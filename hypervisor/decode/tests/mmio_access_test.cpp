// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/mmio_access.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "hypervisor/backend/fake/fake_cpu.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::decode {
namespace {

using backend::Segment;

struct Access {
    char kind;
    std::uint64_t offset;
    unsigned width;
    std::uint64_t value;
    bool operator==(Access const&) const = default;
};
struct Device final : core::MmioHandler {
    std::uint64_t read(std::uint64_t offset, unsigned width) override
    {
        log.push_back({'r', offset, width, 0});
        return 0x8877'6655'4433'2211 & (width == 8 ? ~0ULL : (1ULL << (8 * width)) - 1);
    }
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        log.push_back({'w', offset, width, value});
    }
    std::vector<Access> log;
};

/// 64-bit kernel code at 0x40'0000 (guest-physical 0x8000), tables at 0x1000.
struct MmioAccess : ::testing::Test {
    MmioAccess()
    {
        ram.put<std::uint64_t>(0x1000, 0x2003);
        ram.put<std::uint64_t>(0x2000, 0x3003);
        ram.put<std::uint64_t>(0x3000 + 2 * 8, 0x4003);
        ram.put<std::uint64_t>(0x4000, 0x8003);
        cpu.set_segment(Segment::cs, {0x10, 0xA9B, 0xFFFF'FFFF, 0x7777'0000}); // base is ignored in 64-bit mode
        cpu.set_system_registers(0x8001'0033, 0x1000, 0x20, 0xD01);
        cpu.set_rflags(0x202);
        cpu.set_rip(0x40'0000);
        cpu.calls.clear();
    }
    void code(std::initializer_list<std::uint8_t> bytes, std::uint64_t at = 0x8000)
    {
        for (std::uint8_t byte : bytes)
            ram.put<std::uint8_t>(at++, byte);
    }
    Progress access(std::uint64_t offset, bool is_write)
    {
        return access_mmio(cpu, cache, ram, device, offset, is_write);
    }
    paging::testing::Ram ram{0x10000};
    backend::fake::FakeCpu cpu;
    DecodeCache cache;
    Device device;
};

TEST_F(MmioAccess, LoadAndStoreAdvanceRip)
{
    code({0x8B, 0x43, 0x38, 0x89, 0x43, 0x3C}); // mov eax, [rbx+38h]; mov [rbx+3Ch], eax
    cpu.registers().gpr[0] = ~0ULL;
    EXPECT_EQ(access(0x38, false), Progress::done);
    EXPECT_EQ(cpu.registers().gpr[0], 0x4433'2211U);
    EXPECT_EQ(cpu.rip(), 0x40'0003U);
    EXPECT_EQ(access(0x3C, true), Progress::done);
    EXPECT_EQ(cpu.rip(), 0x40'0006U);
    EXPECT_EQ(device.log, (std::vector<Access>{{'r', 0x38, 4, 0}, {'w', 0x3C, 4, 0x4433'2211}}));
    EXPECT_EQ(cpu.count("set_rflags"), 0U);
}

TEST_F(MmioAccess, FlagsAndResumeFlag)
{
    code({0x83, 0x38, 0x00}); // cmp dword [rax], 0
    cpu.set_rflags(0x1'0246);
    EXPECT_EQ(access(0, false), Progress::done);
    EXPECT_EQ(cpu.paging().rflags, 0x206U) << "RF and ZF gone; 11h has even parity";
}

TEST_F(MmioAccess, WhatDoesNotFitTheFaultIsLeftAlone)
{
    code({0x8B, 0x03});
    EXPECT_EQ(access(0, true), Progress::unknown) << "a load cannot have made a write fault";
    code({0x89, 0x03});
    EXPECT_EQ(access(0, false), Progress::unknown);
    code({0x0F, 0x11, 0x03}); // movups [rbx], xmm0
    EXPECT_EQ(access(0, true), Progress::unknown);
    code({0x89, 0x03});
    cpu.set_rflags(0x302);
    EXPECT_EQ(access(0, true), Progress::unknown) << "TF: the guest wants its #DB";
    cpu.set_rflags(0x202);
    cpu.set_rip(0x50'0000);
    EXPECT_EQ(access(0, true), Progress::unknown) << "not mapped";
    EXPECT_TRUE(device.log.empty());
    EXPECT_EQ(cpu.rip(), 0x50'0000U);
}

TEST_F(MmioAccess, InstructionAtTheEndOfTheLastMappedPage)
{
    code({0x89, 0x03}, 0x8FFE);
    cpu.set_rip(0x40'0FFE);
    EXPECT_EQ(access(8, true), Progress::done);
    EXPECT_EQ(cpu.rip(), 0x40'1000U);
    code({0x89, 0x83, 0x00}, 0x8FFD); // mov [rbx+d32], eax, cut by the page's end
    cpu.set_rip(0x40'0FFD);
    EXPECT_EQ(access(8, true), Progress::unknown);
}

TEST_F(MmioAccess, AccessOverThePageEndIsTheProcessors)
{
    code({0x48, 0x89, 0x03}); // mov [rbx], rax
    EXPECT_EQ(access(0x1FFC, true), Progress::unknown) << "the guest's next page may be another, or none";
    EXPECT_TRUE(device.log.empty());
    EXPECT_EQ(cpu.rip(), 0x40'0000U);
    EXPECT_EQ(access(0x1FF8, true), Progress::done);
    EXPECT_EQ(device.log.size(), 1U);
}

TEST_F(MmioAccess, RepeatedStoreStaysUntilTheCountIsDown)
{
    code({0xF3, 0xAB}); // rep stosd
    cpu.registers().gpr[0] = 0xABCD;
    cpu.registers().gpr[1] = 3;
    EXPECT_EQ(access(0, true), Progress::more);
    EXPECT_EQ(access(4, true), Progress::more);
    EXPECT_EQ(cpu.rip(), 0x40'0000U);
    EXPECT_EQ(access(8, true), Progress::done);
    EXPECT_EQ(cpu.rip(), 0x40'0002U);
    EXPECT_EQ(cpu.registers().gpr[7], 12U);
    EXPECT_EQ(device.log.size(), 3U);
}

TEST_F(MmioAccess, MoveStringBetweenDeviceAndGuestMemory)
{
    code({0x65, 0xA5}); // movsd es:[rdi], gs:[rsi]
    ram.put<std::uint32_t>(0x8500, 0xFEED'BEEF);
    cpu.set_segment(Segment::gs, {0, 0x93, 0, 0x40'0000});
    cpu.set_segment(Segment::es, {0, 0x93, 0, 0x9999'0000}); // ignored in 64-bit mode
    cpu.registers().gpr[6] = 0x500;
    cpu.registers().gpr[7] = 0x1'0000'0000;
    EXPECT_EQ(access(0x20, true), Progress::done);
    EXPECT_EQ(device.log, (std::vector<Access>{{'w', 0x20, 4, 0xFEED'BEEF}}));
    cpu.set_rip(0x40'0000);
    cpu.registers().gpr[7] = 0x40'0600;
    EXPECT_EQ(access(0x24, false), Progress::done);
    std::uint32_t value = 0;
    ASSERT_TRUE(ram.read(Gpa{0x8600}, std::as_writable_bytes(std::span{&value, 1})));
    EXPECT_EQ(value, 0x4433'2211U);
}

TEST_F(MmioAccess, RealModeWithSegments)
{
    cpu.set_system_registers(0x10, 0, 0, 0);
    cpu.set_segment(Segment::cs, {0x0800, 0x9B, 0xFFFF, 0x8000});
    cpu.set_rip(0x10);
    code({0x66, 0x26, 0x89, 0x07}, 0x8010); // mov es:[bx], eax
    cpu.registers().gpr[0] = 0x1234'5678;
    EXPECT_EQ(access(0, true), Progress::done);
    EXPECT_EQ(device.log, (std::vector<Access>{{'w', 0, 4, 0x1234'5678}}));
    EXPECT_EQ(cpu.rip(), 0x14U);
}

} // namespace
} // namespace undercroft::decode
