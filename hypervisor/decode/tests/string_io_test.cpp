// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Expectations: Intel SDM vol. 2 (INS, OUTS, REP) and vol. 3A chapters 5 and 6, AMD APM vol. 3. Encodings are the
// manuals'.
#include "hypervisor/decode/string_io.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "hypervisor/backend/fake/fake_cpu.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::decode {
namespace {

using backend::Segment;

struct Device final : core::PortIo {
    struct Store {
        std::uint16_t port;
        unsigned width;
        std::uint32_t value;
        bool operator==(Store const&) const = default;
    };
    std::uint32_t load(std::uint16_t, unsigned) override { return 0xA0B0C000U + ++loads; }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        stores.push_back({port, width, value});
    }
    std::vector<Store> stores;
    unsigned loads = 0;
};

struct Elsewhere final : core::MmioHandler {
    std::uint64_t read(std::uint64_t gpa, unsigned) override { return bytes.contains(gpa) ? bytes[gpa] : 0xEE; }
    void write(std::uint64_t gpa, unsigned width, std::uint64_t value) override
    {
        for (unsigned i = 0; i < width; ++i)
            bytes[gpa + i] = static_cast<std::uint8_t>(value >> 8 * i);
    }
    std::map<std::uint64_t, std::uint8_t> bytes;
};

enum { rcx = 1, rdx = 2, rsi = 6, rdi = 7 };

class StringIo : public testing::Test {
protected:
    /// Four-level tables at 1000h: linear 40'0000h ... 40'2FFFh is 8000h ... AFFFh; 40'3000h is read-only at B000h,
    /// 40'4000h a user page at C000h, 40'5000h lies at 10'0000h where no RAM is; 40'6000h is not present.
    void long_mode()
    {
        ram.put<std::uint64_t>(0x1000, 0x2007);
        ram.put<std::uint64_t>(0x2000, 0x3007);
        ram.put<std::uint64_t>(0x3010, 0x4007);
        for (unsigned i = 0; i < 3; ++i)
            ram.put<std::uint64_t>(0x4000 + i * 8, 0x8003 + i * 0x1000);
        ram.put<std::uint64_t>(0x4018, 0xB001);
        ram.put<std::uint64_t>(0x4020, 0xC007);
        ram.put<std::uint64_t>(0x4028, 0x10'0003);
        cpu.set_segment(Segment::cs, {0x10, 0xA9B, 0xFFFF'FFFF, 0x7777'0000});
        cpu.set_segment(Segment::ds, {0x18, 0, 0, 0x5555'0000}); // null and with a base: of no account
        cpu.set_segment(Segment::es, {0x18, 0, 0, 0x5555'0000});
        cpu.set_system_registers(0x8001'0033, 0x1000, 0x20, 0xD00);
        cpu.set_rip(0x40'0000);
    }
    void real_mode()
    {
        cpu.set_segment(Segment::cs, {0x0800, 0x9B, 0xFFFF, 0x8000});
        cpu.set_segment(Segment::ds, {0x0900, 0x93, 0xFFFF, 0x9000});
        cpu.set_segment(Segment::es, {0x0A00, 0x93, 0xFFFF, 0xA000});
        cpu.set_segment(Segment::ss, {0x0B00, 0x93, 0xFFFF, 0xB000});
        cpu.set_system_registers(0x10, 0, 0, 0);
        cpu.set_rip(0);
    }
    void code(std::initializer_list<unsigned> bytes)
    {
        std::uint64_t at = 0x8000;
        for (unsigned const b : bytes)
            ram.put<std::uint8_t>(at++, static_cast<std::uint8_t>(b));
    }
    bool run(unsigned width, bool is_write, bool rep)
    {
        backend::Exit const exit{.kind = backend::ExitKind::port,
                                 .port = 0x1F0,
                                 .width = static_cast<std::uint8_t>(width),
                                 .is_write = is_write,
                                 .string = true,
                                 .rep = rep};
        cpu.calls.clear();
        return string_io(cpu, cache, exit, ram, elsewhere, device);
    }
    std::uint64_t& reg(unsigned i) { return cpu.registers().gpr[i]; }

    backend::fake::FakeCpu cpu;
    paging::testing::Ram ram{0x10000};
    Device device;
    Elsewhere elsewhere;
    StringPortCache cache;
};

TEST_F(StringIo, RepOutswMovesWordsUpwards)
{
    long_mode();
    code({0x66, 0xF3, 0x6F}); // rep outsw
    ram.put<std::uint64_t>(0x9000, 0x4444'3333'2222'1111);
    reg(rsi) = 0x40'1000, reg(rcx) = 3;
    ASSERT_TRUE(run(2, true, true));
    EXPECT_EQ(device.stores, (std::vector<Device::Store>{{0x1F0, 2, 0x1111}, {0x1F0, 2, 0x2222}, {0x1F0, 2, 0x3333}}));
    EXPECT_EQ(reg(rsi), 0x40'1006U);
    EXPECT_EQ(reg(rcx), 0U);
    EXPECT_EQ(cpu.rip(), 0x40'0003U);
}

TEST_F(StringIo, DirectionFlagTurnsItAround)
{
    long_mode();
    code({0xF3, 0x6D}); // rep insd
    cpu.set_rflags(0x402);
    reg(rdi) = 0x40'1004, reg(rcx) = 2;
    ASSERT_TRUE(run(4, false, true));
    std::uint64_t got;
    __builtin_memcpy(&got, ram.view(Gpa{0x9000}, 8), 8);
    EXPECT_EQ(got, 0xA0B0'C001'A0B0'C002U);
    EXPECT_EQ(reg(rdi), 0x40'0FFCU);
}

TEST_F(StringIo, WithoutRepOneElementAndCountUntouched)
{
    long_mode();
    code({0x6E}); // outsb
    ram.put<std::uint8_t>(0x9005, 0x5A);
    reg(rsi) = 0x40'1005, reg(rcx) = 77;
    ASSERT_TRUE(run(1, true, false));
    EXPECT_EQ(device.stores, (std::vector<Device::Store>{{0x1F0, 1, 0x5A}}));
    EXPECT_EQ(reg(rcx), 77U);
    EXPECT_EQ(cpu.rip(), 0x40'0001U);
}

TEST_F(StringIo, LongTransfersComeBackToTheInstruction)
{
    long_mode();
    code({0xF3, 0x6E}); // rep outsb
    reg(rsi) = 0x40'0800, reg(rcx) = max_string_elements + 5;
    ASSERT_TRUE(run(1, true, true));
    EXPECT_EQ(device.stores.size(), max_string_elements);
    EXPECT_EQ(reg(rcx), 5U);
    EXPECT_EQ(cpu.rip(), 0x40'0000U);
    ASSERT_TRUE(run(1, true, true));
    EXPECT_EQ(device.stores.size(), max_string_elements + 5);
    EXPECT_EQ(cpu.rip(), 0x40'0002U);
    cpu.set_rip(0x40'0000);
    reg(rcx) = 0;
    ASSERT_TRUE(run(1, true, true));
    EXPECT_EQ(device.stores.size(), max_string_elements + 5) << "REP with count 0 moves nothing";
}

TEST_F(StringIo, ElementsMayCrossPages)
{
    long_mode();
    code({0xF3, 0x6F}); // rep outsd
    ram.put<std::uint32_t>(0x8FFE, 0x4433'2211);
    ram.put<std::uint32_t>(0x9002, 0x8877'6655);
    reg(rsi) = 0x40'0FFE, reg(rcx) = 2;
    ASSERT_TRUE(run(4, true, true));
    EXPECT_EQ(device.stores, (std::vector<Device::Store>{{0x1F0, 4, 0x4433'2211}, {0x1F0, 4, 0x8877'6655}}));
}

TEST_F(StringIo, FaultsComeBeforeTheElementAndKeepWhatWasDone)
{
    long_mode();
    code({0xF3, 0x6D}); // rep insd, towards a read-only page
    reg(rdi) = 0x40'2FF8, reg(rcx) = 4;
    ASSERT_TRUE(run(4, false, true));
    EXPECT_EQ(device.loads, 2U) << "the device must not lose the third element";
    EXPECT_EQ(reg(rdi), 0x40'3000U);
    EXPECT_EQ(reg(rcx), 2U);
    EXPECT_EQ(cpu.rip(), 0x40'0000U);
    ASSERT_EQ(cpu.calls.size(), 1U);
    EXPECT_EQ(cpu.calls[0].name, "inject_page_fault");
    EXPECT_EQ(cpu.calls[0].values[0], 0x40'3000U);
    EXPECT_EQ(cpu.calls[0].values[1], 3U) << "present, write (CR0.WP is set)";

    reg(rdi) = 0x40'5FFE, reg(rcx) = 1; // second half not present
    ASSERT_TRUE(run(4, false, true));
    EXPECT_EQ(device.loads, 2U);
    EXPECT_EQ(cpu.calls[0].values[0], 0x40'6000U) << "CR2 is the byte that cannot be had";
    EXPECT_EQ(cpu.calls[0].values[1], 2U);
}

TEST_F(StringIo, UserModeSeesUserPagesOnly)
{
    long_mode();
    cpu.set_segment(Segment::ss, {0x2B, 0xCF3, 0xFFFF'FFFF, 0}); // CPL 3
    ram.put<std::uint64_t>(0x4020, 0x8007);                      // code at 40'4000h
    cpu.set_rip(0x40'4000);
    code({0x6E}); // outsb
    reg(rsi) = 0x40'1000;
    ASSERT_TRUE(run(1, true, false));
    EXPECT_TRUE(device.stores.empty());
    EXPECT_EQ(cpu.calls[0].name, "inject_page_fault");
    EXPECT_EQ(cpu.calls[0].values[1], 5U) << "present, user";
}

TEST_F(StringIo, AddressesThatAreNone)
{
    long_mode();
    code({0x6E});
    reg(rsi) = 0x0000'8000'0000'0000;
    ASSERT_TRUE(run(1, true, false));
    EXPECT_EQ(cpu.count("inject_general_protection"), 1U);
    real_mode();
    code({0x36, 0x6F}); // ss outsw at the limit
    reg(rsi) = 0xFFFF;
    ASSERT_TRUE(run(2, true, false));
    EXPECT_EQ(cpu.count("inject_stack_fault"), 1U);
    EXPECT_TRUE(device.stores.empty());
}

TEST_F(StringIo, MemoryThatIsNotRamGoesElsewhere)
{
    long_mode();
    code({0x66, 0x6F}); // outsw
    elsewhere.bytes = {{0x10'0010, 0x34}};
    reg(rsi) = 0x40'5010;
    ASSERT_TRUE(run(2, true, false));
    EXPECT_EQ(device.stores, (std::vector<Device::Store>{{0x1F0, 2, 0x34}}));
    code({0x6C}); // insb
    cpu.set_rip(0x40'0000);
    reg(rdi) = 0x40'5020;
    ASSERT_TRUE(run(1, false, false));
    EXPECT_EQ(elsewhere.bytes[0x10'0020], 0x01);
}

TEST_F(StringIo, RealModeUsesSegmentsAndSixteenBitRegisters)
{
    real_mode();
    code({0xF3, 0x6F}); // rep outsw
    ram.put<std::uint16_t>(0x9010, 0xBEEF);
    reg(rsi) = 0xFFFF'0010, reg(rcx) = 0xFFFF'0001;
    ASSERT_TRUE(run(2, true, true));
    EXPECT_EQ(device.stores, (std::vector<Device::Store>{{0x1F0, 2, 0xBEEF}}));
    EXPECT_EQ(reg(rsi), 0xFFFF'0012U);
    EXPECT_EQ(reg(rcx), 0xFFFF'0000U);
    EXPECT_EQ(cpu.rip(), 2U);

    code({0x2E, 0x6F}); // cs outsw
    cpu.set_rip(0);
    reg(rsi) = 0;
    ASSERT_TRUE(run(2, true, false));
    EXPECT_EQ(device.stores.back(), (Device::Store{0x1F0, 2, 0x6F2E})) << "its own bytes";

    code({0x6D}); // insw at the limit
    cpu.set_rip(0);
    reg(rdi) = 0xFFFF;
    ASSERT_TRUE(run(2, false, false));
    EXPECT_EQ(cpu.count("inject_general_protection"), 1U) << "the word's second byte is beyond the limit";
    EXPECT_EQ(device.loads, 0U);
}

TEST_F(StringIo, ProtectedModeChecksTheSegment)
{
    real_mode();
    cpu.set_system_registers(0x11, 0, 0, 0);
    cpu.set_segment(Segment::cs, {0x08, 0xC9B, 0xFFFF'FFFF, 0x8000});
    struct Case {
        unsigned attributes;
        std::uint32_t limit;
        std::uint64_t offset;
        bool allowed;
    };
    for (Case const c :
         {Case{0xC93, 0xFFF, 0xFFC, true}, Case{0xC93, 0xFFF, 0xFFD, false}, Case{0xC91, 0xFFF, 0, false}, // read-only
          Case{0xC9B, 0xFFF, 0, false},                                                                    // code
          Case{0xC13, 0xFFF, 0, false},     // not present (null selector)
          Case{0xC97, 0xFFF, 0xFFF, false}, // expand-down: above the limit only
          Case{0xC97, 0xFFF, 0x1000, true}}) {
        code({0x6D}); // insd es:[edi]
        cpu.set_rip(0);
        cpu.set_segment(Segment::es, {0x10, static_cast<std::uint16_t>(c.attributes), c.limit, 0x9000});
        reg(rdi) = c.offset;
        device.loads = 0;
        ASSERT_TRUE(run(4, false, false));
        EXPECT_EQ(device.loads, c.allowed ? 1U : 0U) << std::hex << c.attributes << ' ' << c.offset;
        EXPECT_EQ(cpu.count("inject_general_protection"), c.allowed ? 0U : 1U);
    }
}

TEST_F(StringIo, CodeInRom)
{
    long_mode();
    elsewhere.bytes = {{0x10'0000, 0x6E}};
    cpu.set_rip(0x40'5000);
    ram.put<std::uint8_t>(0x9000, 7);
    reg(rsi) = 0x40'1000;
    ASSERT_TRUE(run(1, true, false));
    EXPECT_EQ(device.stores, (std::vector<Device::Store>{{0x1F0, 1, 7}}));
    EXPECT_EQ(cpu.rip(), 0x40'5001U);
}

TEST_F(StringIo, WhatDidNotExitIsNotPerformed)
{
    long_mode();
    reg(rsi) = reg(rdi) = 0x40'1000;
    code({0x6E});
    EXPECT_FALSE(run(2, true, false)) << "another width";
    EXPECT_FALSE(run(1, false, false)) << "another direction";
    code({0xEE});
    EXPECT_FALSE(run(1, true, false)) << "plain OUT";
    EXPECT_TRUE(device.stores.empty());
    EXPECT_EQ(cpu.calls.size(), 0U);
}

} // namespace
} // namespace undercroft::decode
