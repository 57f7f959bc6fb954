// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/virtio_net.hpp"

#include <gtest/gtest.h>

#include "hypervisor/net/tests/step_clock.hpp"
#include "hypervisor/net/tests/virtio_net_model.hpp"

namespace undercroft::net {
namespace {

using Bytes = VirtioNetModel::Bytes;
constexpr std::uint64_t feature_mtu = 1ULL << 3, feature_mac = 1ULL << 5, feature_status = 1ULL << 16,
                        feature_event = 1ULL << 29, feature_version_1 = 1ULL << 32;

struct Card {
    explicit Card(std::uint16_t mtu = 1500) : memory(VirtioNetMemory::bytes(mtu) / 64 + 1), its_mtu{mtu} {}
    ~Card()
    {
        for (std::string const& violation : model.violations)
            ADD_FAILURE() << violation;
    }
    /// Made here, because the model is changed before.
    VirtioNet& nic()
    {
        if (!driver)
            driver.emplace(model.windows(), clock,
                           std::as_writable_bytes(std::span{memory}).first(VirtioNetMemory::bytes(its_mtu)), its_mtu);
        return *driver;
    }
    bool queue(Bytes const& frame) { return nic().queue(std::as_bytes(std::span{frame})); }
    Bytes received()
    {
        auto const frame = nic().receive();
        auto const* const from = reinterpret_cast<std::uint8_t const*>(frame.data());
        return {from, from + frame.size()};
    }
    struct alignas(64) Line {
        std::byte bytes[64];
    };
    VirtioNetModel model;
    StepClock clock;
    std::vector<Line> memory;
    std::uint16_t its_mtu;
    std::optional<VirtioNet> driver;
};

Bytes frame_of(std::size_t bytes, unsigned seed)
{
    Bytes frame(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        frame[i] = static_cast<std::uint8_t>(seed * 7 + i);
    return frame;
}

/// With event index and without.
class VirtioNetCards : public testing::TestWithParam<bool> {
protected:
    void SetUp() override
    {
        if (!GetParam())
            card.model.offered &= ~feature_event;
    }
    Card card;
};
INSTANTIATE_TEST_SUITE_P(EventIndex, VirtioNetCards, testing::Bool());

TEST_P(VirtioNetCards, StartsTheDevice)
{
    ASSERT_TRUE(card.nic().start());
    EXPECT_EQ(card.model.status, 0x0F);
    EXPECT_EQ(card.model.accepted, feature_version_1 | feature_mac | feature_status | (GetParam() ? feature_event : 0));
    EXPECT_EQ(card.nic().mac(), (MacAddress{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}));
    EXPECT_EQ(card.model.queue[0].size, 128);
    EXPECT_EQ(card.model.queue[1].size, 256);
    EXPECT_TRUE(card.model.queue[0].enabled && card.model.queue[1].enabled);
    EXPECT_EQ(card.model.queue[0].doorbells, 1U); // here are buffers
    EXPECT_EQ(card.nic().max_frame_bytes(), 1514);
    EXPECT_TRUE(card.nic().link_up());
    card.model.link = 0;
    EXPECT_FALSE(card.nic().link_up());
    card.nic().stop();
    EXPECT_EQ(card.model.status, 0);
    EXPECT_FALSE(card.queue(frame_of(60, 1)));
}

TEST_P(VirtioNetCards, SendsInOrderWithOneDoorbell)
{
    ASSERT_TRUE(card.nic().start());
    for (unsigned round = 0; round < 20; ++round) {
        for (unsigned i = 0; i < 40; ++i)
            ASSERT_TRUE(card.queue(frame_of(60 + i, round * 40 + i)));
        EXPECT_EQ(card.model.transmitted.size(), round * 40);
        card.nic().kick();
        EXPECT_EQ(card.model.queue[1].doorbells, round + 1);
    }
    ASSERT_EQ(card.model.transmitted.size(), 800U);
    for (unsigned n = 0; n < 800; ++n)
        ASSERT_EQ(card.model.transmitted[n], frame_of(60 + n % 40, n));
    card.nic().kick(); // nothing to tell
    EXPECT_EQ(card.model.queue[1].doorbells, 20U);
}

TEST_P(VirtioNetCards, NoDoorbellThatTheDeviceDoesNotWant)
{
    ASSERT_TRUE(card.nic().start());
    card.model.wants_doorbells = false;
    card.model.wish(card.model.queue[1]);
    for (unsigned n = 0; n < 50; ++n) {
        ASSERT_TRUE(card.queue(frame_of(60, n)));
        card.nic().kick();
    }
    EXPECT_EQ(card.model.queue[1].doorbells, 0U);
    card.model.transmit(); // it has looked by itself
    ASSERT_EQ(card.model.transmitted.size(), 50U);
    card.model.wants_doorbells = true;
    card.model.wish(card.model.queue[1]);
    ASSERT_TRUE(card.queue(frame_of(60, 0)));
    card.nic().kick();
    EXPECT_EQ(card.model.queue[1].doorbells, 1U);
}

TEST_P(VirtioNetCards, FullQueueRefusesAndLosesNothing)
{
    ASSERT_TRUE(card.nic().start());
    card.model.wants_doorbells = false;
    card.model.wish(card.model.queue[1]);
    for (unsigned round = 0; round < 3; ++round) {
        unsigned queued = 0;
        while (card.queue(frame_of(100, queued)))
            ++queued;
        ASSERT_EQ(queued, 256U);
        card.nic().kick();
        card.model.transmit(round % 2 == 1);
        ASSERT_EQ(card.model.transmitted.size(), 256U);
        for (unsigned n = 0; n < 256; ++n)
            ASSERT_EQ(card.model.transmitted[n], frame_of(100, n));
        card.model.transmitted.clear();
    }
    EXPECT_FALSE(card.queue(frame_of(1515, 0)));
    EXPECT_FALSE(card.queue({}));
    EXPECT_TRUE(card.queue(frame_of(1514, 0)));
}

TEST_P(VirtioNetCards, ReceivesAroundTheRingWithoutInterrupts)
{
    ASSERT_TRUE(card.nic().start());
    EXPECT_TRUE(card.received().empty());
    // Beyond 65,536, where the indexes begin again.
    for (unsigned n = 0; n < 70000; ++n) {
        ASSERT_TRUE(card.model.receive(frame_of(60 + n % 50, n)));
        ASSERT_EQ(card.received(), frame_of(60 + n % 50, n));
        ASSERT_TRUE(card.queue(frame_of(60, n)));
        card.nic().kick();
    }
    EXPECT_TRUE(card.received().empty());
    EXPECT_LE(card.model.queue[0].doorbells, 1U + 70000 / 32 + 1);
    EXPECT_EQ(card.model.queue[0].interrupts, 0U);
    EXPECT_LE(card.model.queue[1].interrupts, 1U); // given back late: its last index comes once in 65,536
    ASSERT_EQ(card.model.transmitted.size(), 70000U);
    // Nobody reads: the device drops, and what it kept comes.
    unsigned kept = 0;
    for (unsigned n = 0; n < 200; ++n)
        kept += card.model.receive(frame_of(60, n)) ? 1 : 0;
    EXPECT_GE(kept, 128U - 32);
    for (unsigned n = 0; n < kept; ++n)
        ASSERT_EQ(card.received(), frame_of(60, n));
    EXPECT_TRUE(card.received().empty());
    EXPECT_TRUE(card.model.receive(frame_of(1514, 3)));
    EXPECT_EQ(card.received(), frame_of(1514, 3));
}

TEST_P(VirtioNetCards, ImpossibleLengthsAreCountedAndPassedOver)
{
    ASSERT_TRUE(card.nic().start());
    VirtioNetModel::Queue& q = card.model.queue[0];
    std::uint32_t const room = static_cast<std::uint32_t>(VirtioNetMemory::buffer_bytes(1500) - 4);
    ASSERT_TRUE(card.model.receive(frame_of(60, 0)));
    EXPECT_EQ(card.received(), frame_of(60, 0));
    for (std::uint32_t const length : {0U, 1U, 11U, 12U, room + 1, 0xFFFFU, 0xFFFFFFFFU}) {
        std::uint16_t const slot = q.used % q.size;
        ASSERT_TRUE(card.model.receive(frame_of(60, 1)));
        std::memcpy(reinterpret_cast<std::uint8_t*>(q.device) + 4 + 8 * slot + 4, &length, 4);
    }
    ASSERT_TRUE(card.model.receive(frame_of(60, 2)));
    EXPECT_EQ(card.received(), frame_of(60, 2));
    EXPECT_EQ(card.nic().take_rx_dropped(), 7U);
    EXPECT_EQ(card.nic().take_rx_dropped(), 0U);
    std::uint16_t const slot = q.used % q.size;
    ASSERT_TRUE(card.model.receive(frame_of(60, 1)));
    std::memcpy(reinterpret_cast<std::uint8_t*>(q.device) + 4 + 8 * slot + 4, &room, 4);
    EXPECT_EQ(card.nic().receive().size(), room - 12);
}

TEST_P(VirtioNetCards, ABrokenQueueIsStartedAgain)
{
    ASSERT_TRUE(card.nic().start());
    unsigned resets = card.model.resets_seen;
    auto const recovers = [&](char const* what) {
        EXPECT_TRUE(card.received().empty()) << what;
        while (card.queue(frame_of(60, 9)))
            ;
        EXPECT_TRUE(card.nic().link_up()) << what;
        EXPECT_EQ(card.model.resets_seen, ++resets) << what;
        card.model.transmitted.clear();
        ASSERT_TRUE(card.queue(frame_of(60, 5)));
        card.nic().kick();
        EXPECT_EQ(card.model.transmitted, std::vector<Bytes>{frame_of(60, 5)}) << what;
        ASSERT_TRUE(card.model.receive(frame_of(60, 6)));
        EXPECT_EQ(card.received(), frame_of(60, 6)) << what;
    };
    card.model.give_back(card.model.queue[0], 128, 100);
    recovers("an id beyond the queue");
    card.model.give_back(card.model.queue[0], 0xFFFFFFFF, 100);
    recovers("a large id");
    card.model.wants_doorbells = false;
    card.model.wish(card.model.queue[1]);
    ASSERT_TRUE(card.queue(frame_of(60, 1)) && card.queue(frame_of(60, 2)));
    card.nic().kick();
    card.model.give_back(card.model.queue[1], 0, 0);
    card.model.give_back(card.model.queue[1], 0, 0);
    card.model.wants_doorbells = true;
    recovers("an id that it does not hold");
    card.model.set_used_index(card.model.queue[0], 30000);
    recovers("more than it was given");
    card.model.give_back(card.model.queue[1], 7, 0);
    recovers("a transmit buffer that was never sent");
    card.model.status |= 64;
    recovers("it asks for it");
    EXPECT_TRUE(card.nic().link_up());
    EXPECT_EQ(card.model.resets_seen, resets);
}

TEST_P(VirtioNetCards, ADeviceThatStaysBrokenIsLeftAlone)
{
    ASSERT_TRUE(card.nic().start());
    for (unsigned i = 0; i < 1000; ++i) {
        card.model.status |= 64;
        (void)card.nic().link_up();
    }
    EXPECT_LE(card.model.resets_seen, 102U);
    EXPECT_FALSE(card.nic().link_up());
    EXPECT_FALSE(card.queue(frame_of(60, 1)));
}

TEST_P(VirtioNetCards, SmallAndOddQueues)
{
    card.model.queue[0].max = card.model.queue[0].size = 4;
    card.model.queue[1].max = card.model.queue[1].size = 100;
    card.model.queue[0].notify_off = 9;
    card.model.multiplier = 2;
    ASSERT_TRUE(card.nic().start());
    EXPECT_EQ(card.model.queue[0].size, 4);
    EXPECT_EQ(card.model.queue[1].size, 64);
    for (unsigned n = 0; n < 1000; ++n) {
        ASSERT_TRUE(card.model.receive(frame_of(60, n)));
        ASSERT_EQ(card.received(), frame_of(60, n));
        ASSERT_TRUE(card.queue(frame_of(60, n)));
        card.nic().kick();
    }
    EXPECT_EQ(card.model.transmitted.size(), 1000U);
}

TEST(VirtioNet, RefusesWhatItCannotUse)
{
    struct Case {
        char const* what;
        void (*spoil)(VirtioNetModel&);
    };
    for (Case const& c : {
             Case{"legacy only", [](VirtioNetModel& m) { m.offered &= ~feature_version_1; }},
             Case{"no address", [](VirtioNetModel& m) { m.offered &= ~feature_mac; }},
             Case{"features refused", [](VirtioNetModel& m) { m.accepts_features = false; }},
             Case{"no reset", [](VirtioNetModel& m) { m.resets = false, m.status = 0x0F; }},
             Case{"one queue", [](VirtioNetModel& m) { m.queues_offered = 1; }},
             Case{"queue of none", [](VirtioNetModel& m) { m.queue[1].max = m.queue[1].size = 0; }},
             Case{"queue of one", [](VirtioNetModel& m) { m.queue[0].max = m.queue[0].size = 1; }},
             Case{"doorbell outside", [](VirtioNetModel& m) { m.queue[1].notify_off = 0x400; }},
             Case{"doorbell far outside", [](VirtioNetModel& m) { m.multiplier = 0xFFFFFFFF; }},
             Case{"group address", [](VirtioNetModel& m) { m.mac[0] = 1; }},
             Case{"no address set", [](VirtioNetModel& m) { m.mac = {}; }},
             Case{"small MTU", [](VirtioNetModel& m) { m.offered |= feature_mtu, m.mtu = 1499; }},
         }) {
        Card card;
        c.spoil(card.model);
        EXPECT_FALSE(card.nic().start()) << c.what;
        EXPECT_EQ(card.model.status & 4, card.model.resets ? 0 : 4) << c.what;
        EXPECT_FALSE(card.queue(frame_of(60, 1))) << c.what;
        card.nic().kick();
        EXPECT_TRUE(card.nic().receive().empty()) << c.what;
        card.model.violations.clear(); // the failed bit where there was no reset
    }
}

TEST(VirtioNet, AbsentDeviceIsRefused)
{
    struct Absent final : core::MmioBus {
        std::uint64_t load(std::uint64_t, unsigned width) override { return ~0ULL >> (64 - 8 * width); }
        void store(std::uint64_t, unsigned, std::uint64_t) override {}
    } bus;
    StepClock clock;
    std::vector<std::byte> memory(VirtioNetMemory::bytes(1500));
    VirtioNet nic{{&bus, &bus, &bus, 0x1000, 4, 12}, clock, memory, 1500};
    EXPECT_FALSE(nic.start());
    EXPECT_FALSE(nic.link_up());
}

TEST(VirtioNet, LargeFramesAndWhatTheNetworkCarries)
{
    Card card{9000};
    card.model.offered |= feature_mtu;
    card.model.mtu = 9000;
    ASSERT_TRUE(card.nic().start());
    EXPECT_NE(card.model.accepted & feature_mtu, 0U);
    ASSERT_TRUE(card.queue(frame_of(9014, 1)));
    card.nic().kick();
    EXPECT_EQ(card.model.transmitted.at(0), frame_of(9014, 1));
    ASSERT_TRUE(card.model.receive(frame_of(9014, 2)));
    EXPECT_EQ(card.received(), frame_of(9014, 2));
}

TEST(VirtioNet, LinkIsUpWhereItIsNotTold)
{
    Card card;
    card.model.offered &= ~feature_status;
    card.model.link = 0;
    ASSERT_TRUE(card.nic().start());
    EXPECT_TRUE(card.nic().link_up());
}

TEST(VirtioNet, OfferedPlatformFeaturesAreTaken)
{
    Card card;
    card.model.offered |= 1ULL << 33 | 1ULL << 36 | 1ULL << 34 | 1ULL << 38;
    ASSERT_TRUE(card.nic().start());
    EXPECT_EQ(card.model.accepted >> 32,
              1ULL | 1ULL << 1 | 1ULL << 4); // neither packed rings nor extra data in doorbells
}

} // namespace
} // namespace undercroft::net
