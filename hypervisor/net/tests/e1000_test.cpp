// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/e1000.hpp"

#include <gtest/gtest.h>

#include "hypervisor/net/tests/e1000_model.hpp"
#include "hypervisor/net/tests/step_clock.hpp"

namespace undercroft::net {
namespace {

struct alignas(4096) Page {
    std::byte bytes[4096];
};

struct Card {
    explicit Card(E1000Kind const& kind = kind_82574l, std::uint16_t mtu = 1500)
        : model{kind}, memory((E1000Memory::bytes(mtu) + 4095) / 4096),
          nic{*find_e1000_chip(0x8086, kind.device), model, clock,
              std::as_writable_bytes(std::span{memory}).first(E1000Memory::bytes(mtu)), mtu}
    {
    }
    E1000Model model;
    StepClock clock;
    std::vector<Page> memory;
    E1000 nic;
};

std::vector<std::uint8_t> frame_of(std::size_t bytes, unsigned seed)
{
    std::vector<std::uint8_t> frame(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        frame[i] = static_cast<std::uint8_t>(seed * 7 + i);
    return frame;
}

bool queue(Card& card, std::vector<std::uint8_t> const& frame)
{
    return card.nic.queue(std::as_bytes(std::span{frame}));
}

std::vector<std::uint8_t> bytes_of(std::span<std::byte const> frame)
{
    auto const* const from = reinterpret_cast<std::uint8_t const*>(frame.data());
    return {from, from + frame.size()};
}

class E1000Cards : public testing::TestWithParam<E1000Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, E1000Cards, testing::Values(kind_82574l, kind_82540em, kind_82545em, kind_bochs),
                         [](auto const& info) {
                             E1000Kind const& kind = info.param;
                             return std::string(find_e1000_chip(0x8086, kind.device)->name) +
                                    (kind.loads_address ? "" : "Bochs");
                         });

TEST(E1000, KnowsItsChips)
{
    EXPECT_STREQ(find_e1000_chip(0x8086, 0x10D3)->name, "82574L");
    EXPECT_STREQ(find_e1000_chip(0x8086, 0x100E)->name, "82540EM");
    EXPECT_STREQ(find_e1000_chip(0x8086, 0x100F)->name, "82545EM");
    EXPECT_EQ(find_e1000_chip(0x8086, 0x1533), nullptr);
    EXPECT_EQ(find_e1000_chip(0x10EC, 0x10D3), nullptr);
}

TEST_P(E1000Cards, StartsTheCard)
{
    Card card{GetParam()};
    ASSERT_TRUE(card.nic.start());
    EXPECT_EQ(card.model.resets, 1U);
    EXPECT_EQ(card.nic.mac(), GetParam().loads_address ? (MacAddress{0x52, 0x54, 0x00, 0x12, 0x34, 0x56})
                                                       : (MacAddress{0x00, 0x11, 0x22, 0x33, 0x44, 0x55}));
    EXPECT_NE(card.model.registers[0x5404] & (1U << 31), 0U); // RAH.AV: the card takes frames for it
    EXPECT_NE(card.model.registers[0x00] & (1U << 6), 0U);    // SLU
    EXPECT_EQ(card.model.registers[0x00] & 4, 0U);            // bus master not disabled
    EXPECT_EQ(card.model.registers[0xD8], 0xFFFFFFFFU);       // all interrupts masked
    EXPECT_EQ(card.model.registers[0x100], 0x04008002U);      // RCTL: EN, BAM, SECRC, 2048
    EXPECT_EQ(card.model.registers[0x2808], 128U * 16);
    EXPECT_EQ(card.model.registers[0x3808], 256U * 16);
    EXPECT_TRUE(card.nic.link_up());
    for (auto const& [bits, speed] : {std::pair{0U, 10U}, {1U, 100U}, {2U, 1000U}}) { // STATUS.SPEED
        card.model.registers[0x08] = 2 | bits << 6;
        EXPECT_EQ(card.nic.link_speed_mbit(), speed);
    }
    card.model.registers[0x08] = 0;
    EXPECT_EQ(card.nic.link_speed_mbit(), 0U);
    Card jumbo{GetParam(), 9000};
    ASSERT_TRUE(jumbo.nic.start());
    EXPECT_EQ(jumbo.model.registers[0x100], 0x06018022U); // and LPE, BSEX, 16384
    card.nic.stop();
    EXPECT_EQ(card.model.registers[0x100], 0U);
}

TEST_P(E1000Cards, MacFromEepromWhenNotLoaded)
{
    struct Blank final : core::MmioBus {
        E1000Model model{GetParam()};
        std::uint64_t load(std::uint64_t offset, unsigned width) override
        {
            return offset == 0x5404 ? 0 : model.load(offset, width);
        }
        void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
        {
            model.store(offset, width, value);
        }
    } bus;
    StepClock clock;
    std::vector<Page> memory(E1000Memory::bytes(1500) / 4096 + 1);
    E1000 nic{*find_e1000_chip(0x8086, GetParam().device), bus, clock, std::as_writable_bytes(std::span{memory}), 1500};
    ASSERT_TRUE(nic.start());
    EXPECT_EQ(nic.mac(), (MacAddress{0x00, 0x11, 0x22, 0x33, 0x44, 0x55}));
}

TEST(E1000, AbsentCardIsRefused)
{
    struct Absent final : core::MmioBus {
        std::uint64_t load(std::uint64_t, unsigned) override { return 0xFFFFFFFF; }
        void store(std::uint64_t, unsigned, std::uint64_t) override {}
    } bus;
    StepClock clock;
    std::vector<Page> memory(E1000Memory::bytes(1500) / 4096 + 1);
    E1000 nic{*find_e1000_chip(0x8086, 0x10D3), bus, clock, std::as_writable_bytes(std::span{memory}), 1500};
    EXPECT_FALSE(nic.start());
}

TEST_P(E1000Cards, SendsInOrderWithOneDoorbell)
{
    Card card{GetParam()};
    ASSERT_TRUE(card.nic.start());
    unsigned const stores = card.model.stores, loads = card.model.loads;
    for (unsigned round = 0; round < 20; ++round) {
        for (unsigned i = 0; i < 40; ++i)
            ASSERT_TRUE(queue(card, frame_of(60 + i, round * 40 + i)));
        EXPECT_EQ(card.model.transmitted.size(), round * 40);
        card.nic.kick();
    }
    EXPECT_EQ(card.model.stores - stores, 20U);
    EXPECT_EQ(card.model.loads, loads);
    ASSERT_EQ(card.model.transmitted.size(), 800U);
    for (unsigned n = 0; n < 800; ++n)
        ASSERT_EQ(card.model.transmitted[n], frame_of(60 + n % 40, n));
}

TEST_P(E1000Cards, FullRingRefusesAndLosesNothing)
{
    Card card{GetParam()};
    ASSERT_TRUE(card.nic.start());
    card.model.frozen = true;
    unsigned queued = 0;
    while (queue(card, frame_of(100, queued)))
        ++queued;
    EXPECT_EQ(queued, 255U);
    card.nic.kick();
    card.model.frozen = false;
    card.nic.kick();
    ASSERT_EQ(card.model.transmitted.size(), 255U);
    for (unsigned n = 0; n < 255; ++n)
        ASSERT_EQ(card.model.transmitted[n], frame_of(100, n));
    EXPECT_TRUE(queue(card, frame_of(100, 0)));
    EXPECT_FALSE(queue(card, frame_of(1515, 0)));
    EXPECT_FALSE(card.nic.queue({}));
}

TEST_P(E1000Cards, ReceivesAroundTheRing)
{
    Card card{GetParam()};
    ASSERT_TRUE(card.nic.start());
    EXPECT_TRUE(card.nic.receive().empty());
    unsigned const stores = card.model.stores;
    for (unsigned n = 0; n < 1000; ++n) {
        ASSERT_TRUE(card.model.receive(frame_of(60 + n % 1400, n)));
        ASSERT_EQ(bytes_of(card.nic.receive()), frame_of(60 + n % 1400, n));
    }
    EXPECT_TRUE(card.nic.receive().empty());
    EXPECT_LE(card.model.stores - stores, 1000U / 32 + 1);
    // Nobody reads: the card drops and says how many.
    unsigned kept = 0;
    for (unsigned n = 0; n < 200; ++n)
        kept += card.model.receive(frame_of(60, n)) ? 1 : 0;
    for (unsigned n = 0; n < kept; ++n)
        ASSERT_EQ(bytes_of(card.nic.receive()), frame_of(60, n));
    EXPECT_EQ(card.nic.take_rx_dropped(), GetParam().keeps_missed_count ? 0 : 200U - kept);
    EXPECT_EQ(card.nic.take_rx_dropped(), 0U);
}

TEST_P(E1000Cards, LiesAboutReceivedFramesHarmNothing)
{
    Card card{GetParam()};
    ASSERT_TRUE(card.nic.start());
    auto const put = [&](std::function<void(std::uint8_t*)> const& tamper) {
        ASSERT_TRUE(card.model.receive(frame_of(100, 1), tamper));
    };
    put([](std::uint8_t* d) { d[8] = d[9] = 0xFF; });      // 65,535 bytes in a buffer of 2,048
    put([](std::uint8_t* d) { d[8] = 1, d[9] = 8; });      // 2,049
    put([](std::uint8_t* d) { d[8] = d[9] = 0; });         // empty
    put([](std::uint8_t* d) { d[13] = 1; });               // CRC error
    put([](std::uint8_t* d) { d[12] = 1; });               // first part of a long frame
    put({});                                               // its end
    put([](std::uint8_t* d) { std::memset(d, 0xA5, 8); }); // an address of its own
    put({});
    EXPECT_EQ(bytes_of(card.nic.receive()), frame_of(100, 1)); // the one with the foreign address: ours is read
    EXPECT_EQ(bytes_of(card.nic.receive()), frame_of(100, 1));
    EXPECT_TRUE(card.nic.receive().empty());
    EXPECT_EQ(card.nic.take_rx_dropped(), 5U);
    // "Done" everywhere at once: the work stays bounded.
    std::uint8_t* const ring = card.model.ring(0x2800);
    for (unsigned i = 0; i < 128; ++i)
        ring[16 * i + 12] = 1;
    EXPECT_TRUE(card.nic.receive().empty());
}

} // namespace
} // namespace undercroft::net
