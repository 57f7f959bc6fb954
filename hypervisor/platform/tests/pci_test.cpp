// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/pci.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "hypervisor/platform/tests/config_space_model.hpp"

namespace undercroft::platform {
namespace {

constexpr EcamSegment segment{0xb0000000, 0, 0, 255};

/// A q35 with a NIC behind two bridges and an AHCI controller as function 2 of a multi-function device.
class Pci : public testing::Test {
protected:
    Pci()
    {
        model_.add(0).identity(0x8086, 0x29c0, 0x060000);
        auto& isa = model_.add(31);
        isa.identity(0x8086, 0x2918, 0x060100, 0x80);
        auto& ahci = model_.add(31, 2);
        ahci.identity(0x8086, 0x2922, class_ahci, 0x80);
        ahci.set(4, 2, 0x0007, 0x0547);
        ahci.io_bar(4, 0x6040, 32);
        ahci.bar32(5, 0x81085000, 0x1000);
        auto& port = model_.add(2);
        port.bridge(1, 2);
        auto& lower = ConfigSpaceModel::add_behind(port, 3);
        lower.bridge(2, 2);
        nic_ = &ConfigSpaceModel::add_behind(lower, 4);
        nic_->identity(0x8086, 0x10d3, 0x020000);
        nic_->bar64(0, 0x800000000, 0x400000000);
        nic_->bar32(3, 0xfebc0000, 0x20000);
        model_.add(5).identity(0x1af4, 0x1000, 0x020000);
    }
    ConfigSpaceModel model_;
    ModelFunction* nic_;
    PortPciConfig ports_{model_};
    EcamPciConfig ecam_{model_, segment};
};

TEST_F(Pci, FindsDevicesThroughEitherMechanism)
{
    for (PciConfig* config : {static_cast<PciConfig*>(&ports_), static_cast<PciConfig*>(&ecam_)}) {
        PciFindings const found = find_devices(*config, 0, 0, 255);
        EXPECT_EQ(7U, found.functions);
        ASSERT_EQ(1U, found.ahci.size());
        EXPECT_EQ((Bdf{0, 31, 2}), found.ahci[0].bdf);
        ASSERT_EQ(2U, found.ethernet.size());
        EXPECT_EQ((Bdf{0, 5, 0}), found.ethernet[0].bdf);
        EXPECT_EQ((Bdf{2, 4, 0}), found.ethernet[1].bdf);
    }
}

TEST_F(Pci, FunctionsBeyondZeroNeedTheMultiFunctionBit)
{
    model_.find(0, 31 << 3)->bytes[0x0e] = 0;
    EXPECT_TRUE(find_devices(ports_, 0, 0, 255).ahci.empty());
}

TEST_F(Pci, BridgePathIsOutermostFirst)
{
    BridgePath const path = bridges_above(ecam_, {2, 4, 0});
    ASSERT_EQ(2U, path.size());
    EXPECT_EQ((Bdf{0, 2, 0}), path[0]);
    EXPECT_EQ((Bdf{1, 3, 0}), path[1]);
    EXPECT_TRUE(bridges_above(ecam_, {0, 31, 2}).empty());
}

TEST_F(Pci, BarsOfAllKindsAreReadAndSizedWithoutATrace)
{
    Bar const io = size_bar(ports_, {0, 31, 2}, 4);
    EXPECT_EQ(Bar::Kind::io, io.kind);
    EXPECT_EQ(0x6040U, io.base);
    EXPECT_EQ(32U, io.size);
    Bar const abar = size_bar(ports_, {0, 31, 2}, 5);
    EXPECT_EQ(Bar::Kind::memory32, abar.kind);
    EXPECT_EQ(0x81085000U, abar.base);
    EXPECT_EQ(0x1000U, abar.size);
    Bar const wide = size_bar(ports_, {2, 4, 0}, 0);
    EXPECT_EQ(Bar::Kind::memory64, wide.kind);
    EXPECT_EQ(0x800000000U, wide.base);
    EXPECT_EQ(0x400000000U, wide.size);
    EXPECT_EQ(2U, wide.slots());
    EXPECT_EQ(Bar::Kind::none, size_bar(ports_, {2, 4, 0}, 5).kind);
    EXPECT_EQ(0x0007U, ports_.read({0, 31, 2}, pci_reg::command, 2));
    EXPECT_EQ(0x81085000U, read_bar(ports_, {0, 31, 2}, 5).base);
    EXPECT_EQ(0x800000000U, read_bar(ports_, {2, 4, 0}, 0).base);
}

TEST_F(Pci, UnreachableSpaceReadsAsOnes)
{
    EXPECT_EQ(0xffffU, ports_.read({0, 0, 0, 1}, 0, 2));
    EXPECT_EQ(0xffffffffU, ports_.read({0, 0, 0}, 0x100, 4));
    EXPECT_EQ(0xffffU, ecam_.read({0, 0, 0, 1}, 0, 2));
    EcamPciConfig few{model_, {0xb0000000, 0, 0, 0}};
    EXPECT_EQ(0xffU, few.read({1, 3, 0}, 0, 1));
    nic_->set(0x100, 4, 0x12345678);
    EXPECT_EQ(0x12345678U, ecam_.read({2, 4, 0}, 0x100, 4));
    EXPECT_EQ(0x56U, ecam_.read({2, 4, 0}, 0x101, 1));
}

TEST_F(Pci, CapabilityListsAreFollowedAndBounded)
{
    EXPECT_EQ(0, find_capability(ports_, {2, 4, 0}, 0x10));
    nic_->set(0x06, 2, 0x10);
    nic_->set(0x34, 1, 0xc8);
    nic_->set(0xc8, 2, 0xe001);
    nic_->set(0xe0, 2, 0x0010);
    EXPECT_EQ(0xc8, find_capability(ports_, {2, 4, 0}, 0x01));
    EXPECT_EQ(0xe0, find_capability(ports_, {2, 4, 0}, 0x10));
    nic_->set(0xe0, 2, 0xc810); // a loop
    EXPECT_EQ(0, find_capability(ports_, {2, 4, 0}, 0x05));
}

} // namespace
} // namespace undercroft::platform
