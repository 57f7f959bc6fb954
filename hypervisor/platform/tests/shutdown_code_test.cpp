// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/shutdown_code.hpp"

#include <gtest/gtest.h>

namespace undercroft::platform {
namespace {

TEST(ShutdownCode, CpuStartAsSystemsWriteIt)
{
    ShutdownCode watch;
    EXPECT_EQ(std::nullopt, watch.written(0x70, 1, 0x0F));
    EXPECT_EQ(ShutdownCode::warm_start, watch.written(0x71, 1, 0x0A));
    EXPECT_EQ(std::nullopt, watch.written(0x70, 1, 0x8F)) << "with NMIs masked";
    EXPECT_EQ(0, watch.written(0x71, 1, 0x00));
    EXPECT_EQ(0x0A, watch.written(0x71, 1, 0x0A)) << "the index stays";
}

TEST(ShutdownCode, OtherRegistersAreNotIt)
{
    ShutdownCode watch;
    EXPECT_EQ(std::nullopt, watch.written(0x71, 1, 0x0A)) << "nothing was selected yet";
    for (std::uint32_t index = 0; index < 0x80; ++index)
        if (index != 0x0F) {
            EXPECT_EQ(std::nullopt, watch.written(0x70, 1, index));
            EXPECT_EQ(std::nullopt, watch.written(0x71, 1, 0x0A)) << index;
        }
    EXPECT_EQ(std::nullopt, watch.written(0x70, 1, 0x0F));
    EXPECT_EQ(std::nullopt, watch.written(0x72, 1, 0x0A)) << "the second bank's index";
}

TEST(ShutdownCode, WiderAccessesReachBothPorts)
{
    ShutdownCode watch;
    EXPECT_EQ(0x0A, watch.written(0x70, 2, 0x0A0F));
    EXPECT_EQ(std::nullopt, watch.written(0x70, 2, 0x0A10));
    EXPECT_EQ(0x0A, watch.written(0x6E, 4, 0x0A0F5555)) << "begins below";
    EXPECT_EQ(0x0A, watch.written(0x71, 4, 0x5555550A));
    EXPECT_EQ(std::nullopt, watch.written(0x6C, 4, 0x0A0F0A0F)) << "ends below";
}

} // namespace
} // namespace undercroft::platform
