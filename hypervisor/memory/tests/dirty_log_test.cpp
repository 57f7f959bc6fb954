// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/dirty_log.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "hypervisor/memory/tests/machine_model.hpp"

namespace undercroft::memory {
namespace {

class DirtyLogTest : public testing::Test {
protected:
    static constexpr std::uint64_t pages = 100;
    DirtyLogTest() { EXPECT_TRUE(index_.add(0x10000, pages * page_bytes)); }
    static Gpa page(std::uint64_t n) { return Gpa{0x10000 + n * page_bytes}; }
    std::set<std::uint64_t> take()
    {
        model::Bits bits{pages};
        PageBitmap taken = bits.map();
        log_.take(taken);
        std::set<std::uint64_t> numbers;
        for (auto n = taken.next_set(0); n != PageBitmap::none; n = taken.next_set(n + 1))
            numbers.insert(n);
        return numbers;
    }
    std::set<std::uint64_t> in_flight() const
    {
        std::set<std::uint64_t> numbers;
        log_.for_each_in_flight([&](std::uint64_t n) { numbers.insert(n); });
        return numbers;
    }
    using Set = std::set<std::uint64_t>;

    PageIndex index_;
    model::Bits dirty_{pages}, today_{pages}, yesterday_{pages};
    DirtyLog log_{index_, {dirty_.map(), {today_.map(), yesterday_.map()}}};
};

TEST_F(DirtyLogTest, NotedPagesAreTakenOnce)
{
    log_.note_pages(3, 2);
    EXPECT_EQ(take(), (Set{3, 4}));
    EXPECT_EQ(take(), Set{});
}

TEST_F(DirtyLogTest, APageStaysSuspectWhileItsCommandIsUnderWay)
{
    WriteTicket const ticket = log_.command_begins();
    log_.device_will_write(ticket, page(7), 1);
    EXPECT_EQ(in_flight(), Set{7});
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(take(), Set{7}) << "it may have been written after the last take";
    log_.command_ended(ticket);
    EXPECT_EQ(in_flight(), Set{});
    EXPECT_EQ(take(), Set{7}) << "or between the last take and its end";
    EXPECT_EQ(take(), Set{});
}

TEST_F(DirtyLogTest, LaterCommandsDoNotKeepEarlierPagesSuspect)
{
    // There is always a command under way, as on a busy disk.
    WriteTicket previous = log_.command_begins();
    log_.device_will_write(previous, page(0), page_bytes);
    for (std::uint64_t n = 1; n < 50; ++n) {
        WriteTicket const next = log_.command_begins();
        log_.device_will_write(next, page(n), page_bytes);
        log_.command_ended(previous);
        previous = next;
        auto const taken = take();
        EXPECT_TRUE(taken.contains(n));
        EXPECT_LE(taken.size(), 4U) << "at take " << n;
    }
}

TEST_F(DirtyLogTest, AnOldCommandIsNotForgottenBecauseNewOnesEnd)
{
    WriteTicket const slow = log_.command_begins();
    log_.device_will_write(slow, page(90), page_bytes);
    for (std::uint64_t n = 0; n < 10; ++n) {
        WriteTicket const quick = log_.command_begins();
        log_.device_will_write(quick, page(n), page_bytes);
        log_.command_ended(quick);
        EXPECT_TRUE(take().contains(90));
        EXPECT_TRUE(in_flight().contains(90));
    }
    log_.command_ended(slow);
    EXPECT_TRUE(take().contains(90));
    (void)take();
    EXPECT_EQ(take(), Set{});
}

TEST_F(DirtyLogTest, WhoListensHearsOfWholePagesOfRamOnly)
{
    struct Listener final : DeviceWriteListener {
        void before_device_write(PageRange range) override { heard.push_back(range); }
        std::vector<PageRange> heard;
    } listener;
    log_.set_listener(&listener);
    WriteTicket const ticket = log_.command_begins();
    log_.device_will_write(ticket, Gpa{0x10000 + 4000}, 200);
    log_.device_will_write(ticket, Gpa{0x1000}, 0x2000);
    log_.device_will_write(ticket, Gpa{~0ULL - 5}, 100);
    log_.device_will_write(ticket, Gpa{0xf000}, ~0ULL);
    EXPECT_EQ(listener.heard, (std::vector<PageRange>{{page(0), 2 * page_bytes}, {page(0), pages * page_bytes}}));
}

} // namespace
} // namespace undercroft::memory
