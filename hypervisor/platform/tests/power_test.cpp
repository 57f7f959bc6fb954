// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/power.hpp"

#include <gtest/gtest.h>

#include <set>

namespace undercroft::platform {
namespace {

Fadt q35_fadt()
{
    Fadt fadt;
    fadt.pm1a_control = {AcpiAddress::Space::io, 0x604};
    fadt.reset = AcpiAddress{AcpiAddress::Space::io, 0xcf9};
    fadt.reset_value = 0x0f;
    return fadt;
}

std::set<std::uint16_t> ports_of(PowerWatch const& watch)
{
    std::set<std::uint16_t> ports;
    for (auto const& range : watch.ports())
        for (unsigned i = 0; i < range.count; ++i)
            ports.insert(static_cast<std::uint16_t>(range.first + i));
    return ports;
}

TEST(PowerWatch, WatchesExactlyTheBytesThatMatter)
{
    EXPECT_EQ((std::set<std::uint16_t>{0x64, 0x92, 0x605, 0xcf9}), ports_of(PowerWatch{q35_fadt()}));
    EXPECT_EQ((std::set<std::uint16_t>{0x64, 0x92, 0xcf9}), ports_of(PowerWatch{std::nullopt}));
}

TEST(PowerWatch, SleepEnableInAnyWidth)
{
    PowerWatch const watch{q35_fadt()};
    EXPECT_TRUE(watch.is_power_transition(0x604, 2, 0x2000)); // QEMU's S5: SLP_TYP 0, SLP_EN
    EXPECT_TRUE(watch.is_power_transition(0x604, 2, 0x3c01));
    EXPECT_TRUE(watch.is_power_transition(0x604, 4, 0x2000));
    EXPECT_TRUE(watch.is_power_transition(0x605, 1, 0x20));
    EXPECT_FALSE(watch.is_power_transition(0x604, 2, 0x1c01)); // SLP_TYP alone
    EXPECT_FALSE(watch.is_power_transition(0x604, 1, 0xff));
    EXPECT_FALSE(watch.is_power_transition(0x606, 2, 0xffff));
    EXPECT_TRUE(watch.is_power_transition(0x602, 4, 0x20000000));
}

TEST(PowerWatch, ResetRegisters)
{
    PowerWatch const watch{q35_fadt()};
    EXPECT_TRUE(watch.is_power_transition(0xcf9, 1, 0x06));
    EXPECT_TRUE(watch.is_power_transition(0xcf9, 1, 0x0f));
    EXPECT_TRUE(watch.is_power_transition(0xcf9, 1, 0x04));
    EXPECT_FALSE(watch.is_power_transition(0xcf9, 1, 0x02)); // arms only
    EXPECT_FALSE(watch.is_power_transition(0xcf8, 1, 0x06));
    EXPECT_TRUE(watch.is_power_transition(0x64, 1, 0xfe));
    EXPECT_FALSE(watch.is_power_transition(0x64, 1, 0xd1)); // write output port
    EXPECT_FALSE(watch.is_power_transition(0x64, 1, 0xff)); // pulses nothing
    EXPECT_TRUE(watch.is_power_transition(0x92, 1, 0x01));
    EXPECT_FALSE(watch.is_power_transition(0x92, 1, 0x02)); // A20
}

TEST(PowerWatch, OwnResetRegisterAndReducedHardware)
{
    Fadt fadt;
    fadt.sleep_control = {AcpiAddress::Space::io, 0x500};
    fadt.reset = AcpiAddress{AcpiAddress::Space::io, 0x1830};
    fadt.reset_value = 0xa5;
    fadt.pm1b_control = {AcpiAddress::Space::memory, 0xfed00000};
    PowerWatch const watch{fadt};
    EXPECT_TRUE(watch.is_power_transition(0x1830, 1, 0xa5));
    EXPECT_FALSE(watch.is_power_transition(0x1830, 1, 0x5a));
    EXPECT_TRUE(watch.is_power_transition(0x500, 1, 0x34));
    EXPECT_FALSE(watch.is_power_transition(0x500, 1, 0x14));
}

} // namespace
} // namespace undercroft::platform
