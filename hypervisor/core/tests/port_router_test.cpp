// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/port_router.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace undercroft::core {
namespace {

struct Access {
    std::uint32_t first, offset, width, value;
    bool operator==(Access const&) const = default;
};
struct Handler final : PortHandler {
    std::uint32_t port_read(std::uint16_t first, unsigned offset, unsigned width) override
    {
        reads.push_back({first, offset, width, 0});
        return 0xa1b2c3d4U >> 8 * (offset % 4);
    }
    void port_write(std::uint16_t first, unsigned offset, unsigned width, std::uint32_t value) override
    {
        writes.push_back({first, offset, width, value});
    }
    std::vector<Access> reads, writes;
};
struct Elsewhere final : PortIo {
    std::uint32_t load(std::uint16_t port, unsigned width) override
    {
        return loads.push_back({port, 0, width, 0}), 0x5a;
    }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        stores.push_back({port, 0, width, value});
    }
    std::vector<Access> loads, stores;
};

class Router : public testing::Test {
protected:
    Elsewhere elsewhere;
    PortRouter router{elsewhere};
    Handler first, second;
};

TEST_F(Router, AccessesInsideAndOutside)
{
    ASSERT_TRUE(router.add(0x1f0, 8, first));
    router.write(0x1f0, 4, 0x11223344);
    EXPECT_EQ(first.writes, (std::vector<Access>{{0x1f0, 0, 4, 0x11223344}}));
    EXPECT_EQ(router.read(0x1f7, 1), 0xa1U);
    router.write(0x1f8, 2, 7);
    EXPECT_EQ(elsewhere.stores, (std::vector<Access>{{0x1f8, 0, 2, 7}}));
    EXPECT_TRUE(router.owns(0x1ee, 4));
    EXPECT_FALSE(router.owns(0x1ec, 4));
}

TEST_F(Router, AccessesAcrossRangesAreTakenApart)
{
    ASSERT_TRUE(router.add(0xc000, 1, first));
    ASSERT_TRUE(router.add(0xc004, 4, second));
    router.write(0xc000, 4, 0xddccbbaa);
    EXPECT_EQ(first.writes, (std::vector<Access>{{0xc000, 0, 1, 0xaa}}));
    EXPECT_EQ(elsewhere.stores, (std::vector<Access>{{0xc001, 0, 1, 0xbb}, {0xc002, 0, 2, 0xddcc}}));
    EXPECT_EQ(router.read(0xc000, 4), 0x005a'5ad4U) << "0x5a for each part that is nobody's";
    router.write(0xc006, 4, 0x44332211);
    EXPECT_EQ(second.writes, (std::vector<Access>{{0xc004, 2, 2, 0x2211}}));
}

TEST_F(Router, RangesDoNotOverlapAndCanBeTakenBack)
{
    auto const id = router.add(0x170, 8, first);
    ASSERT_TRUE(id);
    EXPECT_FALSE(router.add(0x177, 1, second));
    EXPECT_FALSE(router.add(0x16c, 8, second));
    EXPECT_FALSE(router.add(0xfffc, 8, second));
    EXPECT_FALSE(router.add(0x100, 0, second));
    EXPECT_TRUE(router.add(0xfff8, 8, second)) << "the last ports";
    router.remove(*id);
    EXPECT_FALSE(router.owns(0x170, 8));
    EXPECT_TRUE(router.add(0x177, 1, second));
}

TEST_F(Router, IsFullAtItsCapacity)
{
    for (unsigned i = 0; i < PortRouter::capacity; ++i)
        ASSERT_TRUE(router.add(static_cast<std::uint16_t>(i), 1, first));
    EXPECT_FALSE(router.add(0x1000, 1, first));
    router.remove(3);
    EXPECT_FALSE(router.add(0x1000, 1, second)) << "a place stays its handler's: somebody may be looking at it";
    EXPECT_TRUE(router.add(0x1000, 1, first));
}

} // namespace
} // namespace undercroft::core
