// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/vmx/capabilities.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "hypervisor/backend/vmx/bitmaps.hpp"
#include "hypervisor/backend/vmx/reinjection.hpp"

namespace undercroft::vmx {
namespace {

/// IA32_VMX_* as a Skylake server has them.
Capabilities skylake()
{
    Capabilities c;
    c.basic = 0x00DA'0400'0000'0004;
    c.misc = 0x7004'C1E7;
    c.pin = 0x0000'00FF'0000'0016;
    c.primary = 0xFFF9'FFFE'0400'6172;
    c.secondary = 0x0037'7CFF'0000'0000;
    c.exit = 0x01FF'FFFF'0003'6DFB;
    c.entry = 0x0003'FFFF'0000'11FB;
    c.ept_vpid = 0x0000'0F01'0673'4141;
    return c;
}

bool is_missing(Capabilities const& c, std::string_view name)
{
    backend::MissingList const list = missing_features(c);
    return std::ranges::any_of(list.all(), [&](backend::MissingFeature const& f) { return f.name == name; });
}
Capabilities without(std::uint64_t Capabilities::* word, std::uint64_t bits)
{
    Capabilities c = skylake();
    c.*word &= ~bits;
    return c;
}

TEST(VmxControls, AModernProcessor)
{
    Controls const c = choose_controls(skylake());
    // Always-one bits, then what the sensor wants; nothing that would exit without need.
    EXPECT_EQ(c.pin, 0x16U | 1U << 3 | 1U << 5);
    EXPECT_EQ(c.primary, 0x0400'6172U | 1U << 3 | 1U << 25 | 1U << 28 | 1U << 31);
    EXPECT_EQ(c.secondary, 1U << 1 | 1U << 3 | 1U << 5 | 1U << 7 | 1U << 12 | 1U << 20);
    EXPECT_EQ(c.exit, 0x0003'6DFBU | 1U << 2 | 1U << 9 | 15U << 18);
    EXPECT_EQ(c.entry, 0x0000'11FBU | 1U << 2 | 1U << 14 | 1U << 15);
    EXPECT_EQ(missing_features(skylake()).count, 0U);
}

TEST(VmxControls, CrAccessesAndInterruptsDoNotExit)
{
    Controls const c = choose_controls(skylake());
    constexpr std::uint32_t cr3_load = 1U << 15, cr3_store = 1U << 16, cr8 = 3U << 19, rdtsc = 1U << 12,
                            invlpg = 1U << 9, dr = 1U << 23, pause = 1U << 30, hlt = 1U << 7;
    EXPECT_EQ(c.primary & (cr3_load | cr3_store | cr8 | rdtsc | invlpg | dr | pause | hlt), 0U);
    EXPECT_EQ(c.pin & 1, 0U) << "external interrupts are the guest's";
    EXPECT_EQ(c.pin & 1U << 6, 0U) << "the timer is armed when there is something to send";
    EXPECT_EQ(c.exit & 1U << 15, 0U) << "an interrupt that exits stays pending";
}

TEST(VmxControls, NeverABitThatMustBeZero)
{
    Capabilities c = skylake();
    c.secondary = (1ULL << 1 | 1ULL << 7) << 32; // EPT and unrestricted guest only
    EXPECT_EQ(choose_controls(c).secondary, 1U << 1 | 1U << 7);
    EXPECT_FALSE(missing_features(c).any_required());
    EXPECT_TRUE(is_missing(c, "VPID"));
}

TEST(VmxControls, VpidNeedsItsInvalidation)
{
    constexpr std::uint64_t invvpid = 1ULL << 32;
    EXPECT_EQ(choose_controls(without(&Capabilities::ept_vpid, invvpid)).secondary & 1U << 5, 0U);
}

TEST(VmxFeatures, EachRequiredOneIsNamed)
{
    using C = Capabilities;
    struct {
        std::uint64_t C::* word;
        unsigned bit;
        std::string_view name;
    } const table[] = {
        {&C::basic, 55, "TRUE control MSRs"},
        {&C::pin, 32 + 3, "NMI exiting"},
        {&C::pin, 32 + 5, "virtual NMIs"},
        {&C::primary, 32 + 25, "I/O bitmaps"},
        {&C::primary, 32 + 28, "MSR bitmaps"},
        {&C::primary, 32 + 31, "secondary controls"},
        {&C::secondary, 32 + 1, "extended page tables (EPT)"},
        {&C::secondary, 32 + 7, "unrestricted guest"},
        {&C::ept_vpid, 6, "EPT with four levels"},
        {&C::ept_vpid, 14, "EPT tables in write-back memory"},
        {&C::ept_vpid, 20, "INVEPT"},
        {&C::misc, 6, "the HLT activity state"},
    };
    for (auto const& row : table) {
        Capabilities const c = without(row.word, 1ULL << row.bit);
        EXPECT_TRUE(is_missing(c, row.name)) << row.name;
        EXPECT_TRUE(missing_features(c).any_required()) << row.name;
    }
}

TEST(VmxFeatures, OptionalOnesSayWhatIsLost)
{
    struct {
        unsigned bit;
        std::string_view name;
    } const table[] = {{17, "1 GiB EPT pages"},
                       {16, "2 MiB EPT pages"},
                       {0, "execute-only EPT pages"},
                       {21, "EPT accessed and dirty flags"}};
    for (auto const& row : table) {
        backend::MissingList const list = missing_features(without(&Capabilities::ept_vpid, 1ULL << row.bit));
        ASSERT_EQ(list.count, 1U) << row.name;
        EXPECT_EQ(list.features[0].name, row.name);
        EXPECT_FALSE(list.features[0].loss.empty());
        EXPECT_FALSE(list.any_required());
    }
    EXPECT_TRUE(is_missing(without(&Capabilities::pin, 1ULL << 38), "the preemption timer"));
    EXPECT_TRUE(is_missing(without(&Capabilities::secondary, 1ULL << 49), "page-modification logging"));
}

/// A Core 2 (Penryn): VT-x without EPT. Reads no MSR that it does not have.
TEST(VmxFeatures, AnOldProcessor)
{
    auto const read = [](std::uint32_t number) -> std::uint64_t {
        switch (number) {
        case 0x480:
            return 0x005A'0800'0000'000D; // bit 55 clear
        case 0x485:
            return 0x0004'03C0;
        case 0x486:
            return 0x8000'0021;
        case 0x487:
        case 0x489:
            return 0xFFFF'FFFF;
        case 0x488:
            return 0x2000;
        default:
            ADD_FAILURE() << "#GP: RDMSR " << std::hex << number;
            return 0;
        }
    };
    Capabilities const c = read_capabilities(read);
    EXPECT_EQ(c.revision(), 0xDU);
    EXPECT_TRUE(missing_features(c).any_required());
    EXPECT_TRUE(is_missing(c, "extended page tables (EPT)"));
}

TEST(VmxTables, PointerAndPageSizes)
{
    EXPECT_EQ(ept_pointer(skylake(), 0x1'2345'6000), 0x1'2345'6000U | 6 | 3U << 3 | 1U << 6);
    EXPECT_EQ(ept_pointer(without(&Capabilities::ept_vpid, 1U << 21), 0x1000), 0x1000U | 0x1E);
    paging::TableCapabilities const t = table_capabilities(skylake(), 46);
    EXPECT_TRUE(t.pages_1g && t.pages_2m && t.execute_only);
    EXPECT_EQ(t.address_bits, 46);
    EXPECT_FALSE(table_capabilities(without(&Capabilities::ept_vpid, 1U << 17), 39).pages_1g);
}

TEST(VmxBitmaps, MsrsHaveFourQuarters)
{
    std::uint8_t map[4096] = {};
    intercept_msr(map, 0x1B, false, true);
    EXPECT_EQ(map[2048 + 3], 1U << 3);
    intercept_msr(map, 0xC000'0080, true, true);
    EXPECT_EQ(map[1024 + 16], 1U);
    EXPECT_EQ(map[3072 + 16], 1U);
    intercept_msr(map, 0x1FFF, true, false);
    EXPECT_EQ(map[1023], 0x80);
    EXPECT_EQ(std::ranges::count_if(map, [](std::uint8_t b) { return b != 0; }), 4);
    intercept_msr(map, 0xC001'0010, true, true); // always exits: nothing to set
    intercept_msr(map, 0x2000, true, true);
    EXPECT_EQ(std::ranges::count_if(map, [](std::uint8_t b) { return b != 0; }), 4);
    intercept_msr(map, 0xC000'0080, false, false);
    EXPECT_EQ(map[1024 + 16] | map[3072 + 16], 0);
}

TEST(VmxBitmaps, PortsRunThroughBothPages)
{
    std::uint8_t maps[8192] = {};
    intercept_port(maps, 0xCF8, true);
    intercept_port(maps, 0x7FFF, true);
    intercept_port(maps, 0x8000, true);
    EXPECT_EQ(maps[0xCF8 / 8], 1);
    EXPECT_EQ(maps[4095], 0x80);
    EXPECT_EQ(maps[4096], 1);
    intercept_port(maps, 0x7FFF, false);
    EXPECT_EQ(maps[4095], 0);
}

// SDM, "IA32_TME_ACTIVATE MSR": bit 1 enables, bits 35:32 are the number of key identifier bits.
TEST(VmxMemory, KeyIdentifiersAreNoAddressBits)
{
    EXPECT_EQ(usable_address_bits(46, 0), 46U);
    EXPECT_EQ(usable_address_bits(46, 0x6'0000'0003), 40U);
    EXPECT_EQ(usable_address_bits(52, 0x0003), 52U) << "one key for all";
    EXPECT_EQ(usable_address_bits(46, 0x6'0000'0001), 46U) << "locked and switched off";
    EXPECT_EQ(usable_address_bits(12, 0xF'0000'0003), 12U) << "nonsense leaves the width as it is";
}

// SDM vol. 3C, 25.9.3 and 28.2.4; the rows are the manual's event types.
TEST(VmxReinjection, TruthTable)
{
    constexpr std::uint32_t valid = 1U << 31, error = 1U << 11, undefined_bit = 1U << 12;
    struct {
        char const* name;
        Vectoring vectoring;
        bool iret;
        Reinjection expected;
    } const rows[] = {
        {"nothing", {0, 0}, false, {}},
        {"stale contents without the valid bit", {0x30E, 5}, false, {}},
        {"external interrupt 0xEF", {valid | 0x0EF, 0}, false, {valid | 0x0EF, 0, false, false}},
        {"NMI", {valid | 0x202, 0}, false, {valid | 0x202, 0, true, false}},
        {"#PF", {valid | error | 0x30E, 6}, false, {valid | error | 0x30E, 6, false, false}},
        {"#DF", {valid | error | 0x308, 0}, false, {valid | error | 0x308, 0, false, false}},
        {"#UD, error code field stale", {valid | 0x306, 9}, false, {valid | 0x306, 0, false, false}},
        {"INT 80h runs again", {valid | 0x480, 0}, false, {}},
        {"INT1 runs again", {valid | 0x501, 0}, false, {}},
        {"INT3 runs again", {valid | 0x603, 0}, false, {}},
        {"INTO runs again", {valid | 0x604, 0}, false, {}},
        {"bit 12 is undefined here", {valid | undefined_bit | 0x020, 0}, true, {valid | 0x020, 0, false, false}},
        {"an IRET that faulted", {0, 0}, true, {0, 0, false, true}},
    };
    for (auto const& row : rows)
        EXPECT_TRUE(judge_vectoring(row.vectoring, row.iret) == row.expected) << row.name;
}

} // namespace
} // namespace undercroft::vmx
