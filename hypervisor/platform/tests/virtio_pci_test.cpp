// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/virtio_pci.hpp"

#include <gtest/gtest.h>

#include "hypervisor/platform/tests/config_space_model.hpp"

namespace undercroft::platform {
namespace {

/// A card with a capability list made by hand, as VIRTIO 1.2, 4.1.4 lays it out.
class VirtioPci : public testing::Test {
protected:
    VirtioPci() : card_{model_.add(3)}
    {
        card_.identity(virtio_vendor, virtio_net_modern, class_ethernet);
        card_.bar32(1, 0xfebc0000, 0x1000);
        card_.bar64(4, 0x800000000, 0x4000);
        card_.set(0x06, 2, 0x10); // has a capability list
        card_.set(0x34, 1, 0x98);
        capability(0x98, 0x84, 0x11, 12, 0, 0, 0, 0);           // MSI-X
        capability(0x84, 0x70, 0x09, 20, 5, 0, 0, 0);           // access through configuration space
        capability(0x70, 0x60, 0x09, 20, 2, 4, 0x3000, 0x1000); // notify
        card_.set(0x80, 4, 4);                                  // its multiplier
        capability(0x60, 0x50, 0x09, 16, 4, 4, 0x2000, 0x1000); // device
        capability(0x50, 0x40, 0x09, 16, 3, 4, 0x1000, 0x1000); // ISR
        capability(0x40, 0x00, 0x09, 16, 1, 4, 0x0000, 0x1000); // common
    }
    void capability(unsigned at, unsigned next, unsigned id, unsigned length, unsigned type, unsigned bar,
                    std::uint32_t offset, std::uint32_t bytes)
    {
        card_.set(at, 4, id | next << 8 | length << 16 | type << 24);
        card_.set(at + 4, 4, bar);
        card_.set(at + 8, 4, offset);
        card_.set(at + 12, 4, bytes);
    }
    std::optional<VirtioStructures> find() { return find_virtio_structures(config_, {0, 3, 0}); }

    ConfigSpaceModel model_;
    ModelFunction& card_;
    PortPciConfig config_{model_};
};

TEST_F(VirtioPci, StructuresAreFound)
{
    auto const found = find();
    ASSERT_TRUE(found);
    EXPECT_EQ(4, found->common.bar);
    EXPECT_EQ(0U, found->common.offset);
    EXPECT_EQ(0x1000U, found->common.bytes);
    EXPECT_EQ(0x3000U, found->notify.offset);
    EXPECT_EQ(4U, found->notify_multiplier);
    EXPECT_EQ(0x2000U, found->device.offset);
}

TEST_F(VirtioPci, LegacyDevicesHaveNone)
{
    card_.set(0x34, 1, 0x98);
    capability(0x98, 0, 0x11, 12, 0, 0, 0, 0);
    EXPECT_FALSE(find());
    card_.set(0x06, 2, 0); // no list at all
    EXPECT_FALSE(find());
}

TEST_F(VirtioPci, TheFirstUsableOneOfAKindCounts)
{
    card_.io_bar(0, 0x6000, 32);
    capability(0x98, 0xb0, 0x09, 20, 2, 0, 0, 32); // notify by ports, preferred by the device
    capability(0xb0, 0x84, 0x09, 20, 2, 4, 0x800, 0x100);
    card_.set(0xc0, 4, 2);
    auto const found = find();
    ASSERT_TRUE(found);
    EXPECT_EQ(0x800U, found->notify.offset);
    EXPECT_EQ(2U, found->notify_multiplier);
}

TEST_F(VirtioPci, CrookedOnesAreRefused)
{
    struct Damage {
        unsigned offset, width;
        std::uint32_t value;
    };
    for (Damage const& damage : {Damage{0x40 + 12, 4, 55},                           // common too short
                                 Damage{0x40 + 8, 4, 2},                             // crooked
                                 Damage{0x40 + 4, 1, 6},                             // no such BAR
                                 Damage{0x40 + 4, 1, 0xff}, Damage{0x40 + 2, 1, 15}, // capability too short
                                 Damage{0x60 + 12, 4, 7},   // device configuration without the link's state
                                 Damage{0x70 + 2, 1, 16},   // no multiplier
                                 Damage{0x70 + 12, 4, 1},   // no doorbell
                                 Damage{0x60 + 1, 1, 0x98}, // a loop
                                 Damage{0x60 + 1, 1, 0xfc}}) {
        std::uint32_t const before = card_.get(damage.offset, damage.width);
        card_.set(damage.offset, damage.width, damage.value);
        EXPECT_FALSE(find()) << std::hex << damage.offset << " = " << damage.value;
        card_.set(damage.offset, damage.width, before);
        ASSERT_TRUE(find());
    }
    // At the end of the space the fields that do not exist read as 0.
    card_.set(0x34, 1, 0xfc);
    card_.set(0xfc, 4, 0x01100009);
    EXPECT_FALSE(find());
}

} // namespace
} // namespace undercroft::platform
