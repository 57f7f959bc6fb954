// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Two processors with translation caches of their own hammer the same pages while a third thread arms them again:
// a write by a translation from before the last arming is a failure.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "hypervisor/memory/tests/view_rig.hpp"
#include "hypervisor/paging/ept_format.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace undercroft::memory {
namespace {

using namespace testing;
using paging::rights_none, paging::rights_read, paging::rights_read_execute, paging::rights_read_write;

constexpr std::uint64_t first_page = 2 * mib, page_count = 2048;

/// The machine's shootdown (core/machine.cpp) over the sensor's own mailboxes.
struct Mailboxes final : core::TlbShootdown {
    void request_flush() override
    {
        for (core::Mailbox& mailbox : cpus)
            mailbox.post_flush();
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (skip)
            return;
        for (core::Mailbox& mailbox : cpus)
            while (mailbox.flush_pending() && mailbox.in_guest())
                std::this_thread::yield();
    }
    std::array<core::Mailbox, 2> cpus;
    bool skip = false; ///< a broken shootdown: posts but does not wait
};

template <typename Format>
class Stress {
public:
    explicit Stress(bool broken)
    {
        shootdown_.skip = broken;
        for (std::uint64_t i = 0; i < page_count; ++i)
            may_read_[i] = may_write_[i] = true;
    }

    /// Number of accesses that a stale translation let through.
    std::uint64_t run(unsigned cycles)
    {
        EXPECT_TRUE(rig_.built);
        std::vector<std::jthread> cpus;
        for (unsigned cpu = 0; cpu < 2; ++cpu)
            cpus.emplace_back([this, cpu] { guest(cpu); });
        std::mt19937 random{7};
        for (unsigned cycle = 0; cycle < cycles; ++cycle) {
            rearm(static_cast<unsigned>(random()));
            while (steps_.load() < (cycle + 1) * 500)
                std::this_thread::yield();
        }
        stop_ = true;
        cpus.clear();
        EXPECT_GT(hits_.load(), 0U) << "no access by a cached translation: nothing was tested";
        return stale_;
    }

private:
    struct Cached {
        bool valid = false;
        paging::Permissions rights{};
    };
    void rearm(unsigned choice)
    {
        core::SpinGuard const guard{engine_lock_};
        bool const write_only = choice % 3 == 0;
        PageSize const size = choice % 7 == 0 ? PageSize::huge : PageSize::small;
        paging::Permissions const keep = write_only ? rights_read_execute : rights_none;
        if (choice % 5 == 0) {
            std::array<Gpa, page_count / 4> pages;
            for (std::uint64_t i = 0; i < pages.size(); ++i)
                pages[i] = Gpa{first_page + 4 * i * 4096};
            rig_.view.arm_pages(pages, keep);
            rig_.view.flush_all();
            for (Gpa const page : pages)
                forbid(page.value, write_only);
            return;
        }
        rig_.view.arm({Gpa{first_page}, page_count * 4096}, keep, size);
        rig_.view.flush_all();
        for (std::uint64_t i = 0; i < page_count; ++i)
            forbid(first_page + i * 4096, write_only);
    }
    void forbid(std::uint64_t page, bool write_only)
    {
        PageState const state = rig_.view.state(Gpa{page});
        std::uint64_t const count = bytes_of(state.size) / 4096, begin = (state.begin.value - first_page) / 4096;
        for (std::uint64_t i = begin; i < begin + count; ++i) {
            may_write_[i] = false;
            if (!write_only)
                may_read_[i] = false;
        }
    }
    void fault(std::uint64_t page, paging::Permissions needed)
    {
        core::SpinGuard const guard{engine_lock_};
        if (rig_.view.judge(Gpa{page}, needed) != FaultCause::denied)
            return;
        PageState const state = rig_.view.state(Gpa{page});
        std::uint64_t const count = bytes_of(state.size) / 4096, begin = (state.begin.value - first_page) / 4096;
        for (std::uint64_t i = begin; i < begin + count; ++i) {
            may_read_[i] = true;
            may_write_[i] = may_write_[i] || needed.write;
        }
        rig_.view.grant(Gpa{page}, needed);
    }
    void guest(unsigned cpu)
    {
        core::Mailbox& mailbox = shootdown_.cpus[cpu];
        std::mt19937 random{cpu};
        std::vector<Cached> cache(page_count);
        while (!stop_) {
            mailbox.announce_entry();
            if (mailbox.pending()) {
                mailbox.withdraw_entry();
                if (mailbox.take_flush())
                    std::fill(cache.begin(), cache.end(), Cached{});
                continue;
            }
            std::uint64_t const index = random() % page_count, page = first_page + index * 4096;
            paging::Permissions const access = random() % 2 == 0 ? rights_read : rights_read_write;
            bool const done = touch(cache[index], index, page, access);
            mailbox.withdraw_entry();
            ++steps_;
            if (!done)
                fault(page, access);
        }
    }
    bool touch(Cached& cached, std::uint64_t index, std::uint64_t page, paging::Permissions access)
    {
        if (!cached.valid || !cached.rights.includes(access)) {
            Translation const found = Walker<Format>::walk(rig_.root(), page, access);
            if (!found.present || !found.rights.includes(access))
                return false; // a fault drops what is cached for the address
            cached = {true, found.rights};
        } else {
            ++hits_;
        }
        if (access.write ? !may_write_[index] : !may_read_[index])
            ++stale_;
        return true;
    }

    Mailboxes shootdown_;
    ViewRig<Format> rig_{shootdown_};
    core::Spinlock engine_lock_;
    std::array<std::atomic<bool>, page_count> may_read_{}, may_write_{};
    std::atomic<std::uint64_t> steps_{0}, stale_{0}, hits_{0};
    std::atomic<bool> stop_{false};
};

TEST(ViewStress, NoStaleTranslationAfterRearmingNpt)
{
    EXPECT_EQ(std::make_unique<Stress<paging::NptFormat>>(false)->run(400), 0U);
}

TEST(ViewStress, NoStaleTranslationAfterRearmingEpt)
{
    EXPECT_EQ(std::make_unique<Stress<paging::EptFormat>>(false)->run(400), 0U);
}

TEST(ViewStress, ALostShootdownWouldBeSeen)
{
    EXPECT_NE(std::make_unique<Stress<paging::NptFormat>>(true)->run(400), 0U);
}

} // namespace
} // namespace undercroft::memory
