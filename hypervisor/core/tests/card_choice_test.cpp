// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/card_choice.hpp"

#include <gtest/gtest.h>

#include "hypervisor/platform/tests/config_space_model.hpp"

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
        return choose_nic(pci_, cards_, config_, chosen_);
    }
    StartResult choose_at(std::uint8_t bus, std::uint8_t device, std::uint8_t function)
    {
        config_.nic_bus = bus;
        config_.nic_device = device;
        config_.nic_function = function;
        return choose(NicChoice::address);
    }
    /// A virtio-net card at 00:DD.0 with all structures in BAR 4, or with the legacy interface only.
    void add_virtio(std::uint8_t device, bool legacy)
    {
        platform::ModelFunction& card = bus_.add(device);
        card.identity(0x1AF4, 0x1000, 0x020000);
        card.io_bar(0, 0x6000, 32);
        card.bar64(4, 0x800000000, 0x4000);
        if (!legacy) {
            card.set(0x06, 2, 0x10);
            card.set(0x34, 1, 0x40);
            for (unsigned type : {1U, 2U, 4U}) {
                unsigned const at = 0x40 + 0x20 * (type == 4 ? 2 : type - 1);
                card.set(at, 4, 0x09 | (type == 4 ? 0 : at + 0x20) << 8 | 20 << 16 | type << 24);
                card.set(at + 4, 4, 4);
                card.set(at + 8, 4, type * 0x800);
                card.set(at + 12, 4, 0x800);
                card.set(at + 16, 4, 4);
            }
        }
        add({0, device, 0}, 0x1AF4, 0x1000);
    }
    platform::ConfigSpaceModel bus_;
    platform::PortPciConfig pci_{bus_};
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

TEST_F(CardChoice, VirtioNeedsTheModernInterface)
{
    EXPECT_EQ(StartResult::no_nic, choose(NicChoice::virtio));
    add_virtio(5, true);
    EXPECT_EQ(StartResult::no_nic, choose(NicChoice::virtio));
    EXPECT_EQ(StartResult::no_nic, choose_at(0, 5, 0));
    add_virtio(6, false);
    ASSERT_EQ(StartResult::ok, choose(NicChoice::virtio));
    EXPECT_EQ((platform::Bdf{0, 6, 0}), chosen_.function.bdf);
    ASSERT_TRUE(chosen_.virtio);
    EXPECT_EQ(0x1000U, chosen_.virtio->notify.offset);
    EXPECT_EQ(nullptr, chosen_.e1000);
    ASSERT_EQ(StartResult::ok, choose_at(0, 6, 0));
    add_virtio(7, false);
    EXPECT_EQ(StartResult::several_nics, choose(NicChoice::virtio));
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
