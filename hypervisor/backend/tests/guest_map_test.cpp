// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The guest's memory on Intel: types from the MTRRs, in the largest pages that have one type.
#include "hypervisor/core/guest_map.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "hypervisor/paging/ept_format.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace undercroft::core {
namespace {

using paging::EptFormat;
using paging::MtrrMap;
using paging::MtrrRegisters;
constexpr std::uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;
constexpr std::size_t pool_pages = 64;

struct CountingShootdown final : TlbShootdown {
    void request_flush() override { ++flushes; }
    unsigned flushes = 0;
};

/// The raw entries of a table that starts at `root`, walked as the processor would (SDM vol. 3C, 29.3.2).
struct Leaf {
    std::uint64_t entry = 0, bytes = 0;
    [[nodiscard]] unsigned type() const { return entry >> 3 & 7; }
    [[nodiscard]] bool ignores_pat() const { return (entry >> 6 & 1) != 0; }
};
Leaf hardware_walk(std::uint64_t root, std::uint64_t gpa)
{
    std::uint64_t table = root;
    for (unsigned level = 4;; --level) {
        unsigned const shift = 12 + 9 * (level - 1);
        std::uint64_t const entry = reinterpret_cast<std::uint64_t const*>(table)[gpa >> shift & 511];
        if ((entry & 7) == 0)
            return {};
        if (level == 1 || (entry >> 7 & 1) != 0)
            return {entry, 1ULL << shift};
        table = entry & 0x000F'FFFF'FFFF'F000;
    }
}

/// 3 GiB of RAM and 1 above 4 GiB as a PC's firmware describes them: default write-back, the hole below
/// 4 GiB uncacheable, a frame buffer write-combining, the first MiB by the fixed registers.
MtrrRegisters pc()
{
    MtrrRegisters r;
    r.capability = 1U << 8 | 8;
    r.default_type = 6 | 1U << 11 | 1U << 10;
    r.fixed.fill(0x0606'0606'0606'0606);
    r.fixed[2] = 0;                     // A0000-BFFFF
    r.fixed[3] = 0x0505'0505'0505'0505; // C0000-C7FFF write-protected
    r.variable[0] = {0xC000'0000, 0x7F'C000'0000 | 1U << 11};
    r.variable[1] = {0xB000'0001, 0x7F'FF00'0000 | 1U << 11}; // 16 MiB
    return r;
}

template <typename Format, typename Types>
struct Built {
    explicit Built(Types const& types, bool pages_1g = true)
        : memory(new std::byte[(pool_pages + 1) * 4096]),
          pool{reinterpret_cast<void*>((reinterpret_cast<std::uint64_t>(memory.get()) + 4095) & ~4095ULL), pool_pages},
          map{pool, shootdown, {.pages_1g = pages_1g, .pages_2m = true, .execute_only = true, .address_bits = 39}}
    {
        EXPECT_TRUE(map.create(8 * gib, types));
    }
    std::unique_ptr<std::byte[]> memory;
    paging::PagePool pool;
    CountingShootdown shootdown;
    GuestMapOf<Format, Types> map;
};
using Extended = Built<EptFormat, MtrrMap>;

TEST(ExtendedMap, TypesFollowTheMtrrs)
{
    MtrrRegisters const mtrrs = pc();
    Extended built{MtrrMap{mtrrs, 39}};
    struct {
        std::uint64_t gpa;
        unsigned type;
        std::uint64_t bytes;
    } const expected[] = {
        {0x0, 6, 4 * kib},         {0x9'F000, 6, 4 * kib},    {0xA'0000, 0, 4 * kib},    {0xB'F000, 0, 4 * kib},
        {0xC'0000, 5, 4 * kib},    {0xC'8000, 6, 4 * kib},    {2 * mib, 6, 2 * mib},     {gib, 6, gib},
        {0xAFFF'F000, 6, 2 * mib}, {0xB000'0000, 1, 2 * mib}, {0xB0FF'F000, 1, 2 * mib}, {0xB100'0000, 6, 2 * mib},
        {0xC000'0000, 0, gib},     {0xFEE0'0000, 0, gib},     {4 * gib, 6, gib},
    };
    for (std::uint64_t const root : {built.map.running_root(), built.map.stepping_root()})
        for (auto const& row : expected) {
            Leaf const leaf = hardware_walk(root, row.gpa);
            EXPECT_EQ(leaf.type(), row.type) << std::hex << row.gpa;
            EXPECT_EQ(leaf.bytes, row.bytes) << std::hex << row.gpa;
            EXPECT_FALSE(leaf.ignores_pat()) << "the guest's PAT must keep its effect";
            EXPECT_EQ(leaf.entry & 7, 7U);
            EXPECT_EQ(leaf.entry & 0x7F'FFFF'F000 & ~(row.bytes - 1), row.gpa & ~(row.bytes - 1));
        }
    EXPECT_EQ(hardware_walk(built.map.running_root(), 8 * gib).bytes, 0U);
}

TEST(ExtendedMap, NoPageHasTwoTypes)
{
    MtrrRegisters const mtrrs = pc();
    MtrrMap const types{mtrrs, 39};
    for (bool const pages_1g : {true, false}) {
        Extended built{types, pages_1g};
        for (std::uint64_t at = 0; at < 8 * gib;) {
            Leaf const leaf = hardware_walk(built.map.running_root(), at);
            ASSERT_NE(leaf.bytes, 0U);
            auto const type = types.type_of(at, at + leaf.bytes);
            ASSERT_TRUE(type.has_value()) << std::hex << at;
            EXPECT_EQ(leaf.type(), static_cast<unsigned>(*type)) << std::hex << at;
            EXPECT_LE(leaf.bytes, pages_1g ? gib : 2 * mib);
            at += leaf.bytes;
        }
    }
}

TEST(ExtendedMap, NewTypesKeepRightsAndHoles)
{
    MtrrRegisters mtrrs = pc();
    Extended built{MtrrMap{mtrrs, 39}};
    ASSERT_TRUE(built.map.unmap(Gpa{64 * mib}, 2 * mib));
    ASSERT_TRUE(built.map.set_rights(Gpa{0xFEBF'0000}, 4096, paging::rights_read, paging::rights_all));
    mtrrs.variable[2] = {0x0400'0004, 0x7F'FC00'0000 | 1U << 11}; // 64 MiB write-through at 64 MiB
    mtrrs.variable[1].mask = 0;                                   // the frame buffer becomes ordinary memory
    unsigned const flushes = built.shootdown.flushes;
    ASSERT_TRUE(built.map.retype(8 * gib, MtrrMap{mtrrs, 39}));
    EXPECT_GT(built.shootdown.flushes, flushes) << "processors may have cached the old types";
    std::uint64_t const root = built.map.running_root();
    EXPECT_EQ(hardware_walk(root, 64 * mib).bytes, 0U) << "the sensor's memory stays out of reach";
    EXPECT_EQ(hardware_walk(root, 66 * mib).type(), 4U);
    EXPECT_EQ(hardware_walk(root, 127 * mib).type(), 4U);
    EXPECT_EQ(hardware_walk(root, 128 * mib).type(), 6U);
    EXPECT_EQ(hardware_walk(root, 0xB000'0000).type(), 6U);
    EXPECT_EQ(hardware_walk(root, 0xFEBF'0000).entry & 7, 1U) << "still watched";
    EXPECT_EQ(hardware_walk(root, 0xFEBF'0000).type(), 0U);
    EXPECT_EQ(hardware_walk(built.map.stepping_root(), 0xFEBF'0000).entry & 7, 7U);
    // The same again changes nothing: no CPU is disturbed.
    unsigned const after = built.shootdown.flushes;
    ASSERT_TRUE(built.map.retype(8 * gib, MtrrMap{mtrrs, 39}));
    EXPECT_EQ(built.shootdown.flushes, after);
}

TEST(ExtendedMap, SteppingOpensWhatIsWatched)
{
    MtrrRegisters const mtrrs = pc();
    Extended built{MtrrMap{mtrrs, 39}};
    ASSERT_TRUE(built.map.set_rights(Gpa{0xFEBF'0000}, 4096, paging::rights_read, paging::rights_all));
    EXPECT_TRUE(built.map.may_write_while_stepping(Gpa{0xFEBF'0000}));
    ASSERT_TRUE(built.map.set_rights(Gpa{0xFEBF'0000}, 4096, paging::rights_none, paging::rights_none));
    EXPECT_FALSE(built.map.may_write_while_stepping(Gpa{0xFEBF'0000}));
    EXPECT_EQ(hardware_walk(built.map.running_root(), 0xFEBF'0000).bytes, 0U);
}

} // namespace
} // namespace undercroft::core
