// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/reset.hpp"

#include <gtest/gtest.h>

#include "hypervisor/backend/fake/fake_cpu.hpp"

namespace undercroft::backend {
namespace {

/// A CPU in the middle of 64-bit user code: nothing has its reset value.
fake::FakeCpu busy_cpu()
{
    fake::FakeCpu cpu;
    for (std::uint64_t i = 0; i < 16; ++i)
        cpu.registers().gpr[i] = 0x1111'2222'3333'0000 + i;
    for (unsigned i = 0; i < 8; ++i)
        cpu.set_segment(static_cast<Segment>(i), {0x33, 0xAFB, 0xFFFF'FFFF, 0x7F00'0000'0000U + i});
    cpu.set_system_registers(0x8005'0033, 0x1234'5000, 0x3506F0, 0xD01);
    cpu.set_descriptor_tables(0xFFFF'8000'0000'1000, 0x7F, 0xFFFF'8000'0000'2000, 0xFFF);
    cpu.set_rflags(0x246);
    cpu.set_rip(0x40'1000);
    cpu.calls.clear();
    return cpu;
}

// Intel SDM vol. 3A, table 10-1, column INIT.
TEST(Reset, InitGivesTheManualsState)
{
    fake::FakeCpu cpu = busy_cpu();
    apply_init(cpu, 0x000806F8);
    for (unsigned i = 0; i < 16; ++i)
        EXPECT_EQ(cpu.registers().gpr[i], i == 2 ? 0x806F8U : 0U) << i;
    EXPECT_EQ(cpu.rip(), 0xFFF0U);
    PagingState const p = cpu.paging();
    EXPECT_EQ(p.cr0, 0x10U);
    EXPECT_EQ(p.cr3, 0U);
    EXPECT_EQ(p.cr4, 0U);
    EXPECT_EQ(p.efer, 0U);
    EXPECT_EQ(p.rflags, 2U);
    EXPECT_EQ(p.cpl, 0);
    EXPECT_FALSE(p.cs_long);
    EXPECT_FALSE(p.cs_default_32);
    EXPECT_EQ(cpu.descriptor_tables, (std::array<std::uint64_t, 4>{0, 0xFFFF, 0, 0xFFFF}));
    EXPECT_EQ(cpu.count("set_debug_and_activity_reset"), 1U);
}

TEST(Reset, EachSegmentOnce)
{
    fake::FakeCpu cpu = busy_cpu();
    apply_init(cpu, 0);
    EXPECT_EQ(cpu.count("set_segment"), 8U);
    for (unsigned i = 0; i < 8; ++i) {
        auto const which = static_cast<Segment>(i);
        SegmentState const s = cpu.segment(which);
        EXPECT_EQ(s.limit, 0xFFFFU) << i;
        EXPECT_EQ(s.selector, which == Segment::cs ? 0xF000 : 0) << i;
        EXPECT_EQ(s.base, which == Segment::cs ? 0xFFFF'0000U : 0U) << i;
        EXPECT_TRUE(s.attributes & 0x80) << "present " << i;
        bool const system = which == Segment::ldtr || which == Segment::tr;
        EXPECT_EQ((s.attributes & 0x10) != 0, !system) << i;
        EXPECT_EQ(s.attributes & 0xF60, 0) << "16-bit, byte granular, ring 0: " << i;
    }
    EXPECT_EQ(cpu.segment(Segment::ldtr).attributes & 0xF, 2);
    EXPECT_EQ(cpu.segment(Segment::tr).attributes & 0xF, 0xB);
}

TEST(Reset, CacheControlSurvivesInit)
{
    fake::FakeCpu cpu = busy_cpu();
    cpu.set_system_registers(0xE000'0011, 0, 0, 0);
    apply_init(cpu, 0);
    EXPECT_EQ(cpu.paging().cr0, 0x6000'0010U);
    cpu.set_system_registers(0x4000'0011, 0, 0, 0);
    apply_init(cpu, 0);
    EXPECT_EQ(cpu.paging().cr0, 0x4000'0010U);
}

TEST(Reset, StartupBeginsAtTheVectorsPage)
{
    fake::FakeCpu cpu = busy_cpu();
    apply_init(cpu, 1);
    apply_startup(cpu, 0x9A);
    SegmentState const cs = cpu.segment(Segment::cs);
    EXPECT_EQ(cs.selector, 0x9A00);
    EXPECT_EQ(cs.base, 0x9'A000U);
    EXPECT_EQ(cs.limit, 0xFFFFU);
    EXPECT_EQ(cs.attributes, 0x9B);
    EXPECT_EQ(cpu.rip(), 0U);
    EXPECT_EQ(cpu.registers().gpr[2], 1U) << "the rest stays as INIT left it";
}

TEST(FakeCpu, PlaysItsScript)
{
    fake::FakeCpu cpu;
    cpu.add({.kind = ExitKind::halt});
    cpu.add({.kind = ExitKind::cpuid}, [](fake::FakeCpu& c) { c.registers().gpr[0] = 7; });
    EXPECT_EQ(cpu.run().kind, ExitKind::halt);
    EXPECT_EQ(cpu.registers().gpr[0], 0U);
    EXPECT_FALSE(cpu.finished());
    EXPECT_EQ(cpu.run().kind, ExitKind::cpuid);
    EXPECT_EQ(cpu.registers().gpr[0], 7U);
    EXPECT_TRUE(cpu.finished());
    EXPECT_EQ(cpu.run().kind, ExitKind::shutdown);
}

} // namespace
} // namespace undercroft::backend
