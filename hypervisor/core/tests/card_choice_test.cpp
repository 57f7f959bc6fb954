// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/card_choice.hpp"

#include <gtest/gtest.h>

namespace undercroft::core {
namespace {

using boot::StartResult;

/// 00:02.0 82574L, 00:03.0 82540EM, 01:00.0 a card of another make.
class CardChoice : public testing::Test {
protected:
    CardChoice()
    {
        add({0, 2, 0}, 0x8086, 0x10D3);
        add({0, 3, 0}, 0x8086, 0x100E);
        add({1, 0, 0}, 0x10EC, 0x8139);
    }
    void add(platform::Bdf at, std::uint16_t vendor, std::uint16_t device)
    {
        platform::PciFunction card;
        card.bdf = at;
        card.vendor = vendor;
        card.device = device;
        cards_.push(card);
    }
    StartResult choose(NicChoice nic)
    {
        config_.nic = nic;
        chosen_ = {};
        return choose_nic(cards_, config_, chosen_);
    }
    StartResult choose_at(std::uint8_t bus, std::uint8_t device, std::uint8_t function)
    {
        config_.nic_bus = bus;
        config_.nic_device = device;
        config_.nic_function = function;
        return choose(NicChoice::address);
    }
    platform::EthernetFunctions cards_;
    Config config_;
    NicCandidate chosen_;
};

TEST_F(CardChoice, ByKind)
{
    ASSERT_EQ(StartResult::ok, choose(NicChoice::e1000e));
    EXPECT_STREQ("82574L", chosen_.name());
    EXPECT_EQ((platform::Bdf{0, 2, 0}), chosen_.function.bdf);
    ASSERT_EQ(StartResult::ok, choose(NicChoice::e1000));
    EXPECT_STREQ("82540EM", chosen_.name());
    add({2, 0, 0}, 0x8086, 0x100F);
    EXPECT_EQ(StartResult::several_nics, choose(NicChoice::e1000));
    EXPECT_EQ(StartResult::ok, choose(NicChoice::e1000e));
}

TEST_F(CardChoice, ByAddress)
{
    ASSERT_EQ(StartResult::ok, choose_at(0, 3, 0));
    EXPECT_STREQ("82540EM", chosen_.name());
    EXPECT_EQ(StartResult::no_nic, choose_at(1, 0, 0)) << "no driver";
    EXPECT_EQ(StartResult::no_nic, choose_at(0, 2, 1)) << "no such card";
}

TEST_F(CardChoice, AutomaticTakesTheOnlyOne)
{
    EXPECT_EQ(StartResult::several_nics, choose(NicChoice::automatic));
    ASSERT_EQ(StartResult::ok, choose(NicChoice::first));
    EXPECT_STREQ("82574L", chosen_.name());
    cards_.clear();
    EXPECT_EQ(StartResult::no_nic, choose(NicChoice::automatic));
    EXPECT_EQ(StartResult::no_nic, choose(NicChoice::first));
    add({1, 0, 0}, 0x10EC, 0x8139);
    EXPECT_EQ(StartResult::no_nic, choose(NicChoice::automatic));
    add({1, 1, 0}, 0x8086, 0x100E);
    EXPECT_EQ(StartResult::ok, choose(NicChoice::automatic));
    EXPECT_STREQ("82540EM", chosen_.name());
}

} // namespace
} // namespace undercroft::core
