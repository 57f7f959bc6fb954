// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Tables where a BIOS leaves them, made by hand: MultiProcessor Specification 1.4, chapter 4; ACPI 6.4, 5.2.5.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "hypervisor/boot/multiboot2/clock_registers.hpp"
#include "hypervisor/boot/multiboot2/mp_table.hpp"

namespace undercroft::multiboot2 {
namespace {

class LowMemory final : public core::GuestMemory {
public:
    std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(1U << 20);

    [[nodiscard]] bool read(Gpa from, std::span<std::byte> into) const override
    {
        if (from.value > bytes.size() || into.size() > bytes.size() - from.value)
            return false;
        std::memcpy(into.data(), bytes.data() + from.value, into.size());
        return true;
    }
    [[nodiscard]] bool write(Gpa, std::span<std::byte const>) override { return false; }
    [[nodiscard]] std::byte const* view(Gpa, std::size_t) const override { return nullptr; }
    [[nodiscard]] bool touches_sensor(Gpa, std::uint64_t) const override { return false; }

    void put(std::size_t at, std::string_view text) { std::memcpy(bytes.data() + at, text.data(), text.size()); }
    void put(std::size_t at, std::uint32_t value, unsigned width)
    {
        for (unsigned i = 0; i < width; ++i)
            bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
    /// Sets the byte at `check` so that all of them sum to zero.
    void seal(std::size_t at, std::size_t length, std::size_t check)
    {
        bytes[check] = 0;
        std::uint8_t sum = 0;
        for (std::size_t i = 0; i < length; ++i)
            sum = static_cast<std::uint8_t>(sum + bytes[at + i]);
        bytes[check] = static_cast<std::uint8_t>(-sum);
    }
};

constexpr std::size_t table_at = 0xF1234;

/// Two processors (one switched off), a bus, an I/O APIC.
void put_mp(LowMemory& memory, std::size_t pointer_at)
{
    memory.put(pointer_at, "_MP_");
    memory.put(pointer_at + 4, table_at, 4);
    memory.put(pointer_at + 8, 1, 1);
    memory.put(pointer_at + 9, 4, 1);
    memory.seal(pointer_at, 16, pointer_at + 10);
    memory.put(table_at, "PCMP");
    memory.put(table_at + 4, 44 + 3 * 20 + 2 * 8, 2);
    memory.put(table_at + 34, 5, 2);
    std::size_t at = table_at + 44;
    for (auto const& [id, flags] : {std::pair{0U, 3U}, {6U, 1U}, {7U, 0U}}) {
        memory.put(at + 1, id, 1);
        memory.put(at + 3, flags, 1);
        at += 20;
    }
    memory.put(at, 1, 1);
    memory.put(at + 8, 2, 1);
    memory.seal(table_at, 44 + 3 * 20 + 2 * 8, table_at + 7);
}

using Cpus = platform::FixedList<platform::MadtCpu, platform::max_cpus>;

TEST(MpTable, FindsProcessorsWhereverThePointerLies)
{
    for (std::size_t const place : {0x9FC10UL, 0x9FBF0UL, 0xF5000UL, 0xFFFF0UL}) {
        LowMemory memory;
        memory.put(0x40E, 0x9FC0, 2);
        memory.put(0x413, 639, 2);
        put_mp(memory, place);
        Cpus cpus;
        ASSERT_TRUE(read_mp_table(memory, cpus)) << place;
        ASSERT_EQ(cpus.size(), 3U);
        EXPECT_EQ(cpus[0].apic_id, 0U);
        EXPECT_TRUE(cpus[0].enabled);
        EXPECT_EQ(cpus[1].apic_id, 6U);
        EXPECT_TRUE(cpus[1].enabled);
        EXPECT_FALSE(cpus[2].enabled);
    }
}

TEST(MpTable, RefusesWhatIsDamaged)
{
    auto const refused = [](std::size_t at, std::uint8_t value, bool reseal) {
        LowMemory memory;
        put_mp(memory, 0xF5000);
        memory.bytes[at] = value;
        if (reseal)
            memory.seal(table_at, 44 + 3 * 20 + 2 * 8, table_at + 7);
        Cpus cpus;
        return !read_mp_table(memory, cpus);
    };
    EXPECT_FALSE(refused(table_at, 'P', true));
    EXPECT_TRUE(refused(table_at, 'Q', true));
    EXPECT_TRUE(refused(0xF5000, '-', false));
    EXPECT_TRUE(refused(0xF5004, 0xFF, false));           // pointer's sum
    EXPECT_TRUE(refused(table_at + 50, 0x55, false));     // table's sum
    EXPECT_TRUE(refused(table_at + 5, 0xFF, false));      // longer than memory
    EXPECT_TRUE(refused(table_at + 44 + 68, 0x00, true)); // the last entry claims to be a processor: it does not fit
    EXPECT_FALSE(refused(table_at + 34, 200, true));      // more entries announced than there are: the length ends it
    LowMemory empty;
    Cpus cpus;
    EXPECT_FALSE(read_mp_table(empty, cpus));
}

TEST(MpTable, RandomTablesEnd)
{
    std::mt19937 random{3};
    for (unsigned i = 0; i < 300; ++i) {
        LowMemory memory;
        put_mp(memory, 0xF5000);
        for (unsigned n = 0; n < 3; ++n)
            memory.bytes[table_at + random() % 120] = static_cast<std::uint8_t>(random());
        std::size_t const length = memory.bytes[table_at + 4] + 256U * memory.bytes[table_at + 5];
        if (table_at + length <= memory.bytes.size())
            memory.seal(table_at, length, table_at + 7);
        Cpus cpus;
        (void)read_mp_table(memory, cpus);
        EXPECT_LE(cpus.size(), 0xFFFFU / 20);
    }
}

void put_rsdp(LowMemory& memory, std::size_t at)
{
    memory.put(at, "RSD PTR ");
    memory.put(at + 9, "OEMOEM");
    memory.put(at + 16, 0x7FFE0000, 4);
    memory.seal(at, 20, at + 8);
}

TEST(Rsdp, InTheExtendedDataAreaOrTheBios)
{
    for (std::size_t const place : {0x9FC20UL, 0xE0000UL, 0xF5B10UL}) {
        LowMemory memory;
        memory.put(0x40E, 0x9FC0, 2);
        put_rsdp(memory, place);
        EXPECT_EQ(find_rsdp(memory), place);
        memory.bytes[place + 8] = static_cast<std::uint8_t>(memory.bytes[place + 8] + 1);
        EXPECT_EQ(find_rsdp(memory), 0U);
    }
    LowMemory memory;
    put_rsdp(memory, 0xF5B18); // not on a 16-byte boundary
    EXPECT_EQ(find_rsdp(memory), 0U);
    memory.put(0x40E, 0xFFFF, 2); // no such area
    EXPECT_EQ(find_rsdp(memory), 0U);
}

// Expected values by `date -u -d ... +%s`.
constexpr std::uint64_t second = 1000000000;

TEST(Clock, DecimalAndBinary)
{
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x12, 0x22, 0x11, 0x26, 0x20, 2}), 1795350896 * second);
    EXPECT_EQ(clock_to_utc_ns({56, 34, 12, 22, 11, 26, 20, 6}), 1795350896 * second);
}

TEST(Clock, TwelveHours)
{
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x92, 0x22, 0x11, 0x26, 0x20, 0}), 1795350896 * second); // 12 pm
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x12, 0x22, 0x11, 0x26, 0x20, 0}), 1795307696 * second); // 12 am
    EXPECT_EQ(clock_to_utc_ns({56, 34, 0x81, 22, 11, 26, 20, 4}), 1795354496 * second);             // 1 pm
}

TEST(Clock, CenturyMayBeMissing)
{
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x12, 0x22, 0x11, 0x26, 0xFF, 2}), 1795350896 * second);
    EXPECT_EQ(clock_to_utc_ns({0x59, 0x59, 0x23, 0x31, 0x12, 0x99, 0x19, 2}), 946684799 * second);
    EXPECT_EQ(clock_to_utc_ns({0x59, 0x59, 0x23, 0x31, 0x12, 0x99, 0x00, 2}), 946684799 * second);
    EXPECT_EQ(clock_to_utc_ns({0x00, 0x00, 0x00, 0x29, 0x02, 0x00, 0x20, 2}), 951782400 * second);
}

TEST(Clock, InvalidTimesAreNone)
{
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x60, 0x12, 0x22, 0x11, 0x26, 0x20, 2}), 0U);
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x24, 0x22, 0x11, 0x26, 0x20, 2}), 0U);
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x12, 0x00, 0x11, 0x26, 0x20, 2}), 0U);
    EXPECT_EQ(clock_to_utc_ns({0x56, 0x34, 0x12, 0x22, 0x13, 0x26, 0x20, 2}), 0U);
    EXPECT_EQ(clock_to_utc_ns({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), 0U); // nobody answers
}

} // namespace
} // namespace undercroft::multiboot2
