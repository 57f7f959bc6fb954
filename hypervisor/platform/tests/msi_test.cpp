// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/msi.hpp"

#include <gtest/gtest.h>

#include "hypervisor/platform/tests/config_space_model.hpp"

namespace undercroft::platform {
namespace {

/// A card as the 82574 lays it out: power management, MSI, MSI-X.
class Msi : public testing::Test {
protected:
    Msi() : card_{model_.add(3)}
    {
        card_.identity(0x8086, 0x10D3, class_ethernet);
        card_.set(0x06, 2, 0x10);
        card_.set(0x34, 1, 0xC8);
        card_.set(0xC8, 2, 0xD001);
        card_.set(0xD0, 2, 0xA005);
        card_.set(0xD2, 2, 0x80, 0x71);
        card_.set(0xD4, 4, 0, 0xFFFFFFFC);
        card_.set(0xD8, 4, 0xDEADBEEF, 0xFFFFFFFF);
        card_.set(0xDC, 2, 0, 0xFFFF);
        card_.set(0xA0, 2, 0x0011);
        card_.set(0xA2, 2, 0x0004, 0xC000);
    }
    bool call(std::uint32_t apic_id) { return call_by_nmi(config_, {0, 3, 0}, apic_id); }

    ConfigSpaceModel model_;
    ModelFunction& card_;
    PortPciConfig config_{model_};
};

TEST_F(Msi, NamesTheCpuAndTheKind)
{
    ASSERT_TRUE(call(5));
    EXPECT_EQ(card_.get(0xD4, 4), 0xFEE05000U);
    EXPECT_EQ(card_.get(0xD8, 4), 0U);
    EXPECT_EQ(card_.get(0xDC, 2), 0x0400U) << "delivery mode NMI, edge";
    EXPECT_EQ(card_.get(0xD2, 2), 0x0081U) << "one message, on";
    call_nobody(config_, {0, 3, 0});
    EXPECT_EQ(card_.get(0xD2, 2), 0x0080U);
}

TEST_F(Msi, NarrowCapabilityHasItsDataEarlier)
{
    card_.set(0xD2, 2, 0x06, 0x71);
    card_.set(0xD8, 2, 0, 0xFFFF);
    ASSERT_TRUE(call(0));
    EXPECT_EQ(card_.get(0xD8, 2), 0x0400U);
    EXPECT_EQ(card_.get(0xDC, 2), 0U) << "not this capability's";
}

TEST_F(Msi, ChangesNothingWhereItCannot)
{
    EXPECT_FALSE(call(256)) << "the message has eight bits for the CPU";
    card_.set(0xA2, 2, 0x8004, 0xC000);
    EXPECT_FALSE(call(0)) << "MSI-X is on";
    card_.set(0xA2, 2, 0x0004, 0xC000);
    card_.set(0xC8, 2, 0xA001);
    EXPECT_FALSE(call(0)) << "no MSI at all";
    EXPECT_EQ(card_.writes, 0U);
    call_nobody(config_, {0, 3, 0});
    EXPECT_EQ(card_.writes, 0U);
}

} // namespace
} // namespace undercroft::platform
