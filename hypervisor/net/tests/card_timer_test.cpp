// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/card_timer.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace undercroft::net {
namespace {

constexpr std::uint64_t hz = 1'000'000'000; // a tick is a nanosecond
constexpr std::uint64_t us = 1000, ms = 1'000'000;

/// What the 82574's datasheet says of interrupt throttling; registers by number.
struct Throttle final : core::MmioBus {
    std::uint64_t load(std::uint64_t, unsigned) override { return 0; }
    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        EXPECT_EQ(width, 4U);
        auto const word = static_cast<std::uint32_t>(value);
        if (offset == 0xC0)
            causes &= ~word;
        else if (offset == 0xC4)
            interval = word & 0xFFFF;
        else if (offset == 0xC8)
            causes |= word;
        else if (offset == 0xD0)
            mask |= word;
        else
            ADD_FAILURE() << "register " << std::hex << offset;
        look();
    }
    void pass(std::uint64_t ticks)
    {
        for (std::uint64_t const end = now + ticks; now < end; now += us)
            look();
    }
    void look()
    {
        if ((causes & mask) == 0 || said || now < next)
            return;
        said = true;
        next = now + interval * 256;
        calls.push_back(now);
    }
    /// The driver's acknowledgement makes room for the next one.
    void acknowledged() { said = (causes & mask) != 0 && said; }

    std::uint64_t now = 5'000 * ms, next = 0;
    std::uint32_t causes = 0, mask = 0, interval = 0;
    bool said = false;
    std::vector<std::uint64_t> calls;
};

struct CardTimers : testing::Test {
    bool wake_in(std::uint64_t ticks) { return timer.wake_by(Tsc{card.now + ticks}, Tsc{card.now}); }
    bool take()
    {
        bool const taken = timer.take(Tsc{card.now});
        card.acknowledged();
        return taken;
    }
    Throttle card;
    CardTimer timer{card, hz};
};

TEST_F(CardTimers, ReliedOnOnceOneHasCome)
{
    EXPECT_FALSE(wake_in(10 * ms));
    ASSERT_EQ(card.calls.size(), 1U) << "the first one comes at once";
    EXPECT_TRUE(take());
    EXPECT_TRUE(wake_in(10 * ms));
    EXPECT_EQ(card.calls.size(), 1U);
    card.pass(9 * ms);
    EXPECT_TRUE(wake_in(ms));
    EXPECT_EQ(card.calls.size(), 1U);
    card.pass(2 * ms);
    EXPECT_EQ(card.calls.size(), 2U);
    EXPECT_TRUE(take());
}

TEST_F(CardTimers, GoesOnAsLongAsItIsAsked)
{
    (void)wake_in(0);
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(card.calls.size(), static_cast<std::size_t>(i) + 1);
        ASSERT_TRUE(take());
        EXPECT_TRUE(wake_in(i < 10 ? 1000 * ms : 0));
        card.pass(17 * ms);
    }
    EXPECT_NEAR(static_cast<double>(card.calls[8] - card.calls[7]), 17.0 * ms, 0.1 * ms)
        << "every 16 ms at the longest, taken late here";
    EXPECT_TRUE(take());
    card.pass(1000 * ms);
    EXPECT_EQ(card.calls.size(), 21U) << "not asked, not called";
    EXPECT_FALSE(take()) << "the next one is the guest's own";
}

TEST_F(CardTimers, NotMoreOftenThanItsShortestInterval)
{
    (void)wake_in(0);
    std::uint64_t const begin = card.now;
    while (card.now < begin + 100 * ms) {
        if (card.said)
            (void)take();
        (void)wake_in(0);
        card.pass(50 * us);
    }
    EXPECT_GE(card.calls.size(), 23U);
    EXPECT_LE(card.calls.size(), 27U);
}

TEST_F(CardTimers, AnOverdueOneIsNotReliedOnUntilItComes)
{
    (void)wake_in(ms);
    ASSERT_TRUE(take());
    EXPECT_TRUE(wake_in(ms));
    card.mask = 0; // it is blocked somewhere on its way
    card.pass(90 * ms);
    EXPECT_TRUE(wake_in(ms));
    card.pass(30 * ms);
    EXPECT_FALSE(wake_in(ms));
    card.mask = ~0U;
    card.look();
    EXPECT_TRUE(take()) << "late, but the card's";
    EXPECT_TRUE(wake_in(ms));
}

} // namespace
} // namespace undercroft::net
