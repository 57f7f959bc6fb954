// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/dirty_log.hpp"

namespace undercroft::memory {

WriteTicket DirtyLog::command_begins()
{
    core::SpinGuard const guard{day_lock_};
    commands_[today_].fetch_add(1, std::memory_order_acq_rel);
    return static_cast<WriteTicket>(today_);
}

/// Marked first: a sweep that begins after this finds the pages under way, one that began before is told of them.
void DirtyLog::device_will_write(WriteTicket ticket, Gpa gpa, std::uint64_t bytes)
{
    index_->for_each_part(gpa, bytes, [&](std::uint64_t page, std::uint64_t count) {
        flights_[ticket & 1].set_range(page, count);
        dirty_.set_range(page, count);
        tell(page, count);
    });
}

void DirtyLog::tell(std::uint64_t first_page, std::uint64_t pages)
{
    if (auto* const listener = listener_.load(std::memory_order_acquire); listener != nullptr)
        listener->before_device_write({index_->page(first_page), pages * page_bytes});
}

void DirtyLog::command_ended(WriteTicket ticket)
{
    commands_[ticket & 1].fetch_sub(1, std::memory_order_acq_rel);
}

void DirtyLog::take(PageBitmap& into)
{
    core::SpinGuard const guard{day_lock_};
    into.take_from(dirty_);
    for (unsigned day = 0; day < 2; ++day) {
        into.copy_from(flights_[day]);
        if (commands_[day].load(std::memory_order_acquire) == 0)
            flights_[day].clear_all();
    }
    // Of commands that begin from here on none may keep the pages of those under way suspect.
    if (unsigned const other = today_ ^ 1U; commands_[other].load(std::memory_order_acquire) == 0)
        today_ = other;
}

} // namespace undercroft::memory
