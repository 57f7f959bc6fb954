// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which pages may have changed since the last sweep began: collected from nested dirty bits, write faults and
// announced device writes.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/memory/device_writes.hpp"
#include "hypervisor/memory/page_bitmap.hpp"
#include "hypervisor/memory/page_index.hpp"

namespace undercroft::memory {

/// A device's command may write at any time between its start and its end, so its pages stay suspect until all
/// commands of its time have ended. Time is cut in two: commands get the ticket of today; when at a take() nothing of
/// yesterday is under way any more, tomorrow begins. Any CPU may call anything at any time.
class DirtyLog final : public DeviceWrites {
public:
    /// One zeroed bitmap each.
    struct Memory {
        PageBitmap dirty;
        std::array<PageBitmap, 2> in_flight;
    };
    DirtyLog(PageIndex const& index, Memory const& memory)
        : index_{&index}, dirty_{memory.dirty}, flights_{memory.in_flight}
    {
    }
    void set_listener(DeviceWriteListener* listener) { listener_.store(listener, std::memory_order_release); }

    void note_pages(std::uint64_t first, std::uint64_t count) { dirty_.set_range(first, count); }

    // DeviceWrites
    [[nodiscard]] WriteTicket command_begins() override;
    void device_will_write(WriteTicket ticket, Gpa gpa, std::uint64_t bytes) override;
    void command_ended(WriteTicket ticket) override;

    /// Moves all pages that may have changed into `into`. Pages with commands under way are in it, and stay suspect.
    void take(PageBitmap& into);
    /// Calls visit(number) for the pages that a device may be writing now.
    template <typename Visit>
    void for_each_in_flight(Visit&& visit) const
    {
        for (unsigned day = 0; day < 2; ++day) {
            if (commands_[day].load(std::memory_order_acquire) == 0)
                continue;
            PageBitmap const& pages = flights_[day];
            for (std::uint64_t page = pages.next_set(0); page != PageBitmap::none; page = pages.next_set(page + 1))
                visit(page);
        }
    }

private:
    void tell(std::uint64_t first_page, std::uint64_t pages);

    PageIndex const* index_;
    PageBitmap dirty_;
    std::array<PageBitmap, 2> flights_;
    core::Spinlock day_lock_; ///< keeps a command from getting a ticket of the day that is just being closed
    std::array<std::atomic<std::uint32_t>, 2> commands_{};
    unsigned today_ = 0;
    std::atomic<DeviceWriteListener*> listener_{nullptr};
};

} // namespace undercroft::memory
