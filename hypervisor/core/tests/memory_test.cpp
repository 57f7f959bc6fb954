// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// SystemMemory over the test's own memory (identity-mapped, as it were), Region and Mailbox.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "hypervisor/core/region.hpp"
#include "hypervisor/core/startup.hpp"
#include "hypervisor/core/system_memory.hpp"

namespace undercroft::core {
namespace {

constexpr std::uint64_t top = ~std::uint64_t{0};

struct SystemMemoryTest : ::testing::Test {
    SystemMemoryTest()
    {
        info->memory_ranges = 3; // unsorted; the first and third touch
        info->memory[0] = {at(0x2000), 0x1000};
        info->memory[1] = {at(0x5000), 0x1000};
        info->memory[2] = {at(0x1000), 0x1000};
        info->region_start = at(0x3000);
        info->region_bytes = 0x2000;
        EXPECT_TRUE(memory.configure(*info));
        memory.set_end(std::uint64_t{1} << 47);
        EXPECT_TRUE(memory.protect(Gpa{0xFEB0'0000}, 0x2'0000));
    }
    [[nodiscard]] std::uint64_t at(std::uint64_t offset) const
    {
        return reinterpret_cast<std::uint64_t>(bytes.data()) + offset;
    }
    std::vector<std::byte> bytes = std::vector<std::byte>(0x7000);
    std::unique_ptr<boot::BootInfo> info = std::make_unique<boot::BootInfo>();
    SystemMemory memory;
};

TEST_F(SystemMemoryTest, OnlyRam)
{
    struct Row {
        std::uint64_t offset, count;
        bool ram;
    };
    for (Row const& row : {Row{0x1000, 0x2000, true},
                           {0x1FFF, 2, true},
                           {0x2FFF, 1, true},
                           {0x5000, 0x1000, true},
                           {0x0FFF, 1, false},
                           {0x0FFF, 2, false},
                           {0x2FFF, 2, false},
                           {0x3000, 1, false},
                           {0x4FFF, 2, false},
                           {0x6000, 1, false},
                           {0x5800, 0x801, false},
                           {0x5800, 0x800, true}}) {
        EXPECT_EQ(memory.view(Gpa{at(row.offset)}, row.count) != nullptr, row.ram)
            << std::hex << row.offset << " + " << row.count;
    }
}

TEST_F(SystemMemoryTest, HostileAddressesAndLengths)
{
    for (std::uint64_t const count : {std::uint64_t{1}, std::uint64_t{0x1000}, top / 2, top - 1, top}) {
        EXPECT_EQ(memory.view(Gpa{top}, count), nullptr);
        EXPECT_EQ(memory.view(Gpa{0}, count), nullptr);
        EXPECT_EQ(memory.view(Gpa{at(0x6000)}, count), nullptr);
        if (count > 0x2000) {
            EXPECT_EQ(memory.view(Gpa{at(0x1000)}, count), nullptr);
        }
    }
    EXPECT_EQ(memory.view(Gpa{at(0x2000)}, top - at(0x2000) + 2), nullptr) << "wraps to 1";
}

TEST_F(SystemMemoryTest, CopiesWholeOrNotAtAll)
{
    std::byte const written[4] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    ASSERT_TRUE(memory.write(Gpa{at(0x1FFE)}, written));
    EXPECT_EQ(bytes[0x2000], std::byte{3});
    std::byte back[4]{};
    ASSERT_TRUE(memory.read(Gpa{at(0x1FFE)}, back));
    EXPECT_EQ(back[3], std::byte{4});
    EXPECT_FALSE(memory.write(Gpa{at(0x2FFE)}, written));
    EXPECT_EQ(bytes[0x2FFE], std::byte{0});
    EXPECT_EQ(bytes[0x3000], std::byte{0}) << "the sensor's own";
    EXPECT_FALSE(memory.read(Gpa{at(0x2FFE)}, back));
}

TEST_F(SystemMemoryTest, NothingBeyondWhatTheSensorMaps)
{
    memory.set_end(at(0x1800));
    EXPECT_NE(memory.view(Gpa{at(0x1000)}, 0x800), nullptr);
    EXPECT_EQ(memory.view(Gpa{at(0x1000)}, 0x801), nullptr);
    EXPECT_EQ(memory.view(Gpa{at(0x5000)}, 1), nullptr);
    EXPECT_FALSE(memory.reachable(Gpa{at(0x1800)}, 0));
    EXPECT_TRUE(memory.reachable(Gpa{0}, at(0x1800)));
    EXPECT_FALSE(memory.reachable(Gpa{1}, top));
}

TEST_F(SystemMemoryTest, NoDeviceMayBeAimedAtTheSensor)
{
    EXPECT_TRUE(memory.touches_sensor(Gpa{at(0x3000)}, 1));
    EXPECT_TRUE(memory.touches_sensor(Gpa{at(0x4FFF)}, 1));
    EXPECT_TRUE(memory.touches_sensor(Gpa{at(0x2FFF)}, 2));
    EXPECT_TRUE(memory.touches_sensor(Gpa{at(0)}, 0x7000)) << "around it";
    EXPECT_FALSE(memory.touches_sensor(Gpa{at(0x2FFF)}, 1));
    EXPECT_FALSE(memory.touches_sensor(Gpa{at(0x5000)}, 0x1000));
    EXPECT_TRUE(memory.touches_sensor(Gpa{0xFEB1'FFFF}, 1)) << "its card";
    EXPECT_FALSE(memory.touches_sensor(Gpa{0xFEB2'0000}, 0x1000));
    EXPECT_FALSE(memory.touches_sensor(Gpa{0xFEBF'0000}, 8)) << "another device's registers";
    EXPECT_TRUE(memory.touches_sensor(Gpa{top - 3}, 8)) << "wraps";
    EXPECT_TRUE(memory.touches_sensor(Gpa{1}, top));
}

TEST_F(SystemMemoryTest, ProtectedRangesAreKeptOrRefused)
{
    std::uint64_t kept = 0;
    while (memory.protect(Gpa{0x1'0000'0000 + kept * 0x2000}, 0x1000)) {
        ASSERT_LT(++kept, 1000U);
    }
    EXPECT_GE(kept, 6U) << "all windows of one card";
    for (std::uint64_t i = 0; i < kept; ++i)
        EXPECT_TRUE(memory.touches_sensor(Gpa{0x1'0000'0000 + i * 0x2000}, 1)) << i;
}

TEST(SystemMemory, MoreRangesThanFitAreRefused)
{
    auto const info = std::make_unique<boot::BootInfo>();
    info->memory_ranges = 0xFFFF'FFFF;
    SystemMemory memory;
    EXPECT_FALSE(memory.configure(*info));
    EXPECT_EQ(memory.view(Gpa{0x1000}, 1), nullptr);
}

struct alignas(256) Wide {
    explicit Wide(int start) : value{start} {}
    int value;
};

TEST(Region, HandsOutAlignedPiecesUntilItIsUsedUp)
{
    alignas(4096) static std::byte space[8192];
    auto const start = reinterpret_cast<std::uint64_t>(space);
    Region region{start + 1, start + sizeof(space)};
    EXPECT_EQ(region.allocate(1), space + 64);
    EXPECT_EQ(region.allocate(1, 1), space + 65);
    EXPECT_EQ(region.allocate(4096, 4096), space + 4096);
    EXPECT_EQ(region.left(), 0U);
    EXPECT_EQ(region.allocate(1, 1), nullptr);
    EXPECT_NE(region.allocate(0, 1), nullptr);
}

TEST(Region, MakesObjectsWithTheirAlignment)
{
    alignas(4096) static std::byte space[1024];
    auto const start = reinterpret_cast<std::uint64_t>(space);
    Region region{start + 8, start + sizeof(space)};
    auto* const wide = region.make<Wide>(7);
    ASSERT_NE(wide, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uint64_t>(wide), start + 256);
    EXPECT_EQ(wide->value, 7);
    ASSERT_NE(region.make<Wide>(8), nullptr);
    ASSERT_NE(region.make<Wide>(9), nullptr);
    std::uint64_t const left = region.left();
    EXPECT_EQ(region.make<Wide>(10), nullptr);
    EXPECT_EQ(region.left(), left) << "a refused request takes nothing";
}

TEST(Region, SizesThatOverflow)
{
    Region region{0x10'0000, 0x20'0000};
    EXPECT_EQ(region.allocate(top), nullptr);
    EXPECT_EQ(region.allocate(top - 0x10'0000 + 1), nullptr) << "ends at 0";
    EXPECT_EQ(region.allocate(0x10'0001), nullptr);
    Region high{top - 100, top - 50};
    EXPECT_EQ(high.allocate(1, 4096), nullptr) << "aligning wraps";
    EXPECT_EQ(Region{}.allocate(1), nullptr);
}

TEST(Mailbox, FlushIsTakenOnce)
{
    Mailbox mailbox;
    EXPECT_FALSE(mailbox.pending());
    EXPECT_FALSE(mailbox.take_flush());
    mailbox.post_flush();
    mailbox.post_flush();
    EXPECT_TRUE(mailbox.pending());
    EXPECT_TRUE(mailbox.take_flush());
    EXPECT_FALSE(mailbox.take_flush());
    EXPECT_FALSE(mailbox.pending());
}

void call(Mailbox& mailbox, std::uint64_t tsc)
{
    mailbox.note_kick(tsc);
    mailbox.note_sent();
}

TEST(Mailbox, AsManyNmisAreCallsAsWereSent)
{
    Mailbox mailbox;
    EXPECT_FALSE(mailbox.take_kick(5, 100)) << "nothing was sent";
    call(mailbox, 10);
    call(mailbox, 20);
    EXPECT_TRUE(mailbox.take_kick(19, 100)) << "noted after the time was read";
    EXPECT_TRUE(mailbox.take_kick(119, 100));
    EXPECT_FALSE(mailbox.take_kick(119, 100));
    call(mailbox, 200);
    EXPECT_TRUE(mailbox.take_kick(5000, 100)) << "one comes for sure, however late";
    EXPECT_FALSE(mailbox.take_kick(5000, 100));
    for (std::uint64_t tsc = 6000; tsc < 6040; ++tsc)
        call(mailbox, tsc);
    EXPECT_TRUE(mailbox.take_kick(9000, 100)) << "forty calls that merged";
    EXPECT_FALSE(mailbox.take_kick(9000, 100)) << "the one that might wait as well has not come in time";
    for (std::uint64_t tsc = 10'000; tsc < 10'040; ++tsc)
        call(mailbox, tsc);
    EXPECT_TRUE(mailbox.take_kick(10'050, 100));
    EXPECT_TRUE(mailbox.take_kick(10'060, 100)) << "sent while the first was being taken";
    EXPECT_FALSE(mailbox.take_kick(10'070, 100)) << "more than two cannot wait";
}

TEST(Mailbox, ACallThatIsNotSentYetIsStillExpected)
{
    Mailbox mailbox;
    call(mailbox, 10);
    call(mailbox, 20);
    mailbox.note_kick(30); // its sender stands still
    EXPECT_TRUE(mailbox.take_kick(31, 100));
    EXPECT_TRUE(mailbox.take_kick(32, 100)) << "the second had waited";
    mailbox.note_sent();
    EXPECT_TRUE(mailbox.take_kick(40, 100)) << "the third";
    EXPECT_FALSE(mailbox.take_kick(41, 100));
    mailbox.note_kick(50);
    EXPECT_TRUE(mailbox.take_kick(5000, 100)) << "not even patience ends it before it is sent";
    mailbox.note_sent();
    EXPECT_FALSE(mailbox.take_kick(5000, 100));
}

TEST(Mailbox, PendingUntilTheStartupRequestIsServed)
{
    Mailbox mailbox;
    EXPECT_FALSE(mailbox.startup.post_startup(9)) << "means nothing to a CPU that runs";
    EXPECT_FALSE(mailbox.pending());
    mailbox.startup.post_init();
    EXPECT_TRUE(mailbox.pending());
    EXPECT_EQ(mailbox.startup.take().kind, platform::StartupAction::Kind::wait);
    EXPECT_TRUE(mailbox.pending()) << "waits for a SIPI";
    EXPECT_EQ(mailbox.startup.take().kind, platform::StartupAction::Kind::none);
    ASSERT_TRUE(mailbox.startup.post_startup(9));
    auto const action = mailbox.startup.take();
    EXPECT_EQ(action.kind, platform::StartupAction::Kind::start);
    EXPECT_EQ(action.vector, 9);
    EXPECT_FALSE(mailbox.pending());
}

} // namespace
} // namespace undercroft::core
