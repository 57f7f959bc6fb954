// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/acpi.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "hypervisor/platform/tests/q35_tables.hpp"
#include "hypervisor/platform/tests/sparse_memory.hpp"

namespace undercroft::platform {
namespace {

using Bytes = std::vector<std::uint8_t>;

void put(Bytes& bytes, std::size_t at, std::uint64_t value, std::size_t width)
{
    for (std::size_t i = 0; i < width; ++i)
        bytes.at(at + i) = static_cast<std::uint8_t>(value >> (8 * i));
}

void fix_checksum(Bytes& bytes, std::size_t at, std::size_t length)
{
    bytes.at(at) = 0;
    unsigned sum = 0;
    for (std::size_t i = 0; i < length; ++i)
        sum += bytes.at(i);
    bytes.at(at) = static_cast<std::uint8_t>(0x100 - (sum & 0xff));
}

Bytes table(char const* signature, Bytes const& body)
{
    Bytes bytes(36);
    std::memcpy(bytes.data(), signature, 4);
    bytes.insert(bytes.end(), body.begin(), body.end());
    put(bytes, 4, bytes.size(), 4);
    fix_checksum(bytes, 9, bytes.size());
    return bytes;
}

Bytes rsdp_v2(std::uint64_t xsdt, std::uint32_t rsdt)
{
    Bytes bytes(36);
    std::memcpy(bytes.data(), "RSD PTR ", 8);
    bytes[15] = 2;
    put(bytes, 16, rsdt, 4);
    put(bytes, 20, 36, 4);
    put(bytes, 24, xsdt, 8);
    fix_checksum(bytes, 8, 20);
    fix_checksum(bytes, 32, 36);
    return bytes;
}

Bytes addresses(std::vector<std::uint64_t> const& list, std::size_t width = 8)
{
    Bytes bytes(list.size() * width);
    for (std::size_t i = 0; i < list.size(); ++i)
        put(bytes, i * width, list[i], width);
    return bytes;
}

class Acpi : public testing::Test {
protected:
    SparseMemory memory_;
    std::unique_ptr<AcpiTables> tables_ = std::make_unique<AcpiTables>();
    bool read(std::uint64_t rsdp = 0x1000) { return read_acpi(memory_, Gpa{rsdp}, *tables_); }
};

TEST_F(Acpi, ReadsTheTablesOfARealQ35)
{
    for (auto const& piece : q35::memory)
        memory_.pieces[piece.address] = piece.bytes;
    ASSERT_TRUE(read(q35::rsdp));
    EXPECT_EQ(0U, tables_->bad_tables);
    EXPECT_EQ(4U, tables_->enabled_cpus());
    ASSERT_EQ(4U, tables_->cpus.size());
    for (std::uint32_t i = 0; i < 4; ++i)
        EXPECT_EQ(i, tables_->cpus[i].apic_id);
    EXPECT_EQ(0xfee00000U, tables_->local_apic_base);
    // What QEMU's monitor says of the machine: MMCONFIG at 0xb0000000, ICH9 PM base 0x600, reset at 0xcf9.
    ASSERT_EQ(1U, tables_->ecam.size());
    EXPECT_EQ(0xb0000000U, tables_->ecam[0].base);
    EXPECT_EQ(0, tables_->ecam[0].start_bus);
    EXPECT_EQ(255, tables_->ecam[0].end_bus);
    ASSERT_TRUE(tables_->fadt);
    EXPECT_EQ(0x604U, tables_->fadt->pm1a_control.address);
    EXPECT_EQ(AcpiAddress::Space::io, tables_->fadt->pm1a_control.space);
    EXPECT_EQ(0U, tables_->fadt->pm1b_control.address);
    ASSERT_TRUE(tables_->fadt->reset);
    EXPECT_EQ(0xcf9U, tables_->fadt->reset->address);
    EXPECT_EQ(0x0f, tables_->fadt->reset_value);
}

TEST_F(Acpi, UnalignedTablesAndX2ApicEntries)
{
    Bytes madt(8);
    put(madt, 0, 0xfee00000, 4);
    Bytes const entries = {0, 8,  7, 3, 1,    0,    0,    0,                            // APIC id 3, enabled
                           1, 12, 0, 0, 0,    0,    0xc0, 0xfe, 0, 0, 0, 0,             // I/O APIC, skipped
                           9, 16, 0, 0, 0x34, 0x12, 0,    0,    2, 0, 0, 0, 5, 0, 0, 0, // x2APIC 0x1234, online capable
                           5, 12, 0, 0, 0,    0x10, 0,    0,    1, 0, 0, 0};            // APIC at 0x100001000
    madt.insert(madt.end(), entries.begin(), entries.end());
    memory_.pieces[0x1001] = rsdp_v2(0x2003, 0);
    memory_.pieces[0x2003] = table("XSDT", addresses({0x3005, 0, 0xdead0000, 0x4007}));
    memory_.pieces[0x3005] = table("APIC", madt);
    memory_.pieces[0x4007] = table("HPET", Bytes(20));
    ASSERT_TRUE(read(0x1001));
    EXPECT_EQ(1U, tables_->bad_tables) << "the table outside RAM";
    ASSERT_EQ(2U, tables_->cpus.size());
    EXPECT_EQ(3U, tables_->cpus[0].apic_id);
    EXPECT_TRUE(tables_->cpus[0].enabled);
    EXPECT_EQ(0x1234U, tables_->cpus[1].apic_id);
    EXPECT_FALSE(tables_->cpus[1].enabled);
    EXPECT_TRUE(tables_->cpus[1].online_capable);
    EXPECT_EQ(0x100001000U, tables_->local_apic_base);
    EXPECT_EQ(1U, tables_->enabled_cpus());
}

TEST_F(Acpi, FadtPrefersExtendedRegistersAndOldOnesAreShort)
{
    Bytes old_fadt(116 - 36);
    put(old_fadt, 64 - 36, 0x1804, 4);
    put(old_fadt, 112 - 36, 1U << 10, 4);
    memory_.pieces[0x1000] = rsdp_v2(0x2000, 0);
    memory_.pieces[0x2000] = table("XSDT", addresses({0x3000}));
    memory_.pieces[0x3000] = table("FACP", old_fadt);
    ASSERT_TRUE(read());
    EXPECT_EQ(0x1804U, tables_->fadt->pm1a_control.address);
    EXPECT_EQ(0U, tables_->fadt->reset->address);

    Bytes fadt(276 - 36);
    put(fadt, 64 - 36, 0x1804, 4);
    fadt[172 - 36] = 1;
    put(fadt, 176 - 36, 0x404, 8);
    fadt[244 - 36] = 1;
    put(fadt, 248 - 36, 0x500, 8);
    memory_.pieces[0x3000] = table("FACP", fadt);
    *tables_ = {};
    ASSERT_TRUE(read());
    EXPECT_EQ(0x404U, tables_->fadt->pm1a_control.address);
    EXPECT_EQ(0x500U, tables_->fadt->sleep_control.address);
    EXPECT_FALSE(tables_->fadt->reset);
}

TEST_F(Acpi, BadXsdtFallsBackToRsdt)
{
    Bytes bad = table("XSDT", addresses({0x3000}));
    ++bad[40];
    memory_.pieces[0x1000] = rsdp_v2(0x2000, 0x2800);
    memory_.pieces[0x2000] = bad;
    memory_.pieces[0x2800] = table("RSDT", addresses({0x3000}, 4));
    memory_.pieces[0x3000] = table("FACP", Bytes(80));
    ASSERT_TRUE(read());
    EXPECT_TRUE(tables_->fadt);
}

TEST_F(Acpi, HostileTablesAreSkipped)
{
    EXPECT_FALSE(read(0x1000)) << "nothing there";
    Bytes rsdp = rsdp_v2(0x2000, 0);
    ++rsdp[33];
    memory_.pieces[0x1000] = rsdp;
    EXPECT_FALSE(read()) << "extended checksum wrong and no RSDT";
    memory_.pieces[0x1000] = rsdp_v2(~std::uint64_t{0} - 3, 0);
    EXPECT_FALSE(read()) << "address wraps";
    memory_.pieces[0x1000] = rsdp_v2(0x2000, 0);
    memory_.pieces[0x2000] = table("XSDT", addresses({0x2000, 0x3000, 0x4000, 0x5000, 0x6000}));
    Bytes huge = table("APIC", Bytes(8));
    put(huge, 4, 0xffffffff, 4);
    memory_.pieces[0x3000] = huge;
    memory_.pieces[0x4000] = table("MCFG", Bytes(8 + 16 + 15, 0xff)); // one entry that overflows, one cut
    Bytes zero_length_entry(8 + 4);
    memory_.pieces[0x5000] = table("APIC", zero_length_entry); // entry of length 0 must not loop
    Bytes cut(8 + 4);
    cut[8] = 0;
    cut[9] = 8; // entry says 8 bytes, 4 are there
    memory_.pieces[0x6000] = table("APIC", cut);
    ASSERT_TRUE(read());
    EXPECT_EQ(2U, tables_->bad_tables);
    EXPECT_TRUE(tables_->ecam.empty());
    EXPECT_EQ(0U, tables_->enabled_cpus());
}

TEST_F(Acpi, EveryCutAndEveryFlippedBitOfQ35TablesIsHarmless)
{
    for (auto const& piece : q35::memory) {
        for (std::size_t bit = 0; bit < std::min<std::size_t>(piece.bytes.size(), 300) * 8; bit += 3) {
            memory_.pieces.clear();
            for (auto const& good : q35::memory)
                memory_.pieces[good.address] = good.bytes;
            Bytes& bytes = memory_.pieces[piece.address];
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
            *tables_ = {};
            bool const usable = read(q35::rsdp);
            EXPECT_TRUE(!usable || tables_->bad_tables > 0) << std::hex << piece.address << " bit " << bit;
        }
    }
}

} // namespace
} // namespace undercroft::platform
