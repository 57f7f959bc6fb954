// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/failure.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "hypervisor/core/spinlock.hpp"

namespace undercroft::core {
namespace {

TEST(Failure, TheFirstWindsUpAndOnlyOnce)
{
    Failure failure;
    EXPECT_FALSE(failure.happened());
    EXPECT_EQ(failure.enter(7), Failure::Role::wind_up);
    EXPECT_TRUE(failure.happened());
    EXPECT_TRUE(failure.owned_by(7));
    EXPECT_FALSE(failure.owned_by(8));
    EXPECT_EQ(failure.enter(8), Failure::Role::park);
    EXPECT_EQ(failure.enter(7), Failure::Role::end) << "failed again meanwhile";
    EXPECT_EQ(failure.enter(8), Failure::Role::park);
}

TEST(Failure, OneOfManyAtOnce)
{
    Failure failure;
    std::atomic<int> first{0};
    std::vector<std::thread> cpus;
    for (std::uint64_t cpu = 1; cpu <= 8; ++cpu)
        cpus.emplace_back([&, cpu] { first += failure.enter(cpu) == Failure::Role::wind_up ? 1 : 0; });
    for (std::thread& cpu : cpus)
        cpu.join();
    EXPECT_EQ(first, 1);
}

TEST(Failure, NoResetSoonAfterTheStart)
{
    EXPECT_FALSE(Failure::may_reset(0));
    EXPECT_FALSE(Failure::may_reset(59999));
    EXPECT_TRUE(Failure::may_reset(60000));
}

struct BreakLocks {
    explicit BreakLocks(bool (*how)()) { lock_breaker.store(how); }
    ~BreakLocks() { lock_breaker.store(nullptr); }
};

TEST(Failure, WhoWindsUpGetsPastALockThatIsNeverReleased)
{
    Spinlock lock;
    lock.lock();
    BreakLocks const broken{+[] { return true; }};
    lock.lock(); // would wait for ever
    lock.unlock();
    EXPECT_TRUE(lock.try_lock()) << "a lock again";
}

TEST(Failure, OthersStayBefore)
{
    static std::atomic<int> asked{0};
    Spinlock lock;
    lock.lock();
    BreakLocks const broken{+[] { return ++asked > 100; }};
    lock.lock();
    EXPECT_EQ(asked, 101);
}

} // namespace
} // namespace undercroft::core
