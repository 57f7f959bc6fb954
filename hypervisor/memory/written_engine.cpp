// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/written_engine.hpp"

#include <algorithm>

#include "base/mul_div.hpp"

namespace undercroft::memory {
namespace {

using wire::ControlResult;
using wire::Kind;
using wire::MemoryRequest;

constexpr std::uint16_t mode = static_cast<std::uint16_t>(wire::MemoryMode::written);
constexpr std::uint16_t default_depth = 7, default_delay_ms = 10;
/// Walks of guest page tables count as writes where dirty bits are on. Protecting these tables again at once would
/// make each TLB miss a fault, so they stay writable for this long.
constexpr std::uint64_t walked_ms = 1000;
/// A CPU that has not moved for so long stands in a loop of one instruction: its write is through.
constexpr std::uint64_t standing_ms = 100;
/// Regions that were left open are armed again so many at a time, no oftener than this, and when half of what may be
/// saved up is there: each costs at least one fault before the guest has its peace again.
constexpr std::size_t most_armed_again = 4;
constexpr std::uint64_t arm_again_us = 5000;
/// Work that may be saved up while the guest writes little.
constexpr std::uint64_t burst_us = 20'000;

bool is_zero(std::span<std::byte const, page_bytes> page)
{
    std::uint64_t any = 0;
    for (std::size_t at = 0; at < page.size(); at += 8) {
        std::uint64_t word;
        __builtin_memcpy(&word, &page[at], sizeof(word));
        any |= word;
    }
    return any == 0;
}

} // namespace

ControlResult WrittenEngine::judge(MemoryRequest& request) const
{
    PageRange range;
    if ((request.flags.get() & ~wire::memory_flag::no_content) != 0 || request.budget_permille.get() > 1000 ||
        request.period_us.get() != 0 || request.every_turns.get() != 0 || request.rate_kib_per_s.get() != 0 ||
        request.thin.get() > max_thin || request.delay_depth.get() > max_depth ||
        !read_range(request, parts_.view->usable(), range))
        return ControlResult::bad_request;
    if (request.thin.get() == 0)
        request.thin = 1U;
    if (request.delay_depth.get() == 0)
        request.delay_depth = default_depth;
    if (request.delay_ms.get() == 0)
        request.delay_ms = default_delay_ms;
    if (request.budget_permille.get() == 0)
        request.budget_permille = static_cast<std::uint16_t>(options_.default_budget_permille);
    request.range_begin = range.begin.value;
    request.range_bytes = range.bytes;
    return ControlResult::done;
}

void WrittenEngine::start(MemoryRequest const& request, Tsc now)
{
    if (range_.bytes != 0) {
        retire(count_, now);
        parts_.view->restore(range_);
        put_range(*parts_.stream, Kind::memory_disarmed, mode, range_, now);
    }
    request_ = request;
    range_ = {Gpa{request.range_begin.get()}, request.range_bytes.get()};
    delay_ticks_ = mul_div(request.delay_ms.get(), parts_.clock->tsc_hz(), 1000);
    walked_count_ = 0;
    walked_until_ = never;
    std::uint64_t const hz = parts_.clock->tsc_hz(), share = request.budget_permille.get() * options_.cpus;
    budget_.configure(mul_div(hz, share, 1000), mul_div(hz, burst_us * share, 1'000'000'000), hz, now);
    budget_.fill_up();
    sending_ticks_ = parts_.stream->sending_ticks();
    open_.clear();
    armed_open_ = now;
    parts_.view->arm(range_, paging::rights_read_execute, PageSize::small);
    flush();
    put_range(*parts_.stream, Kind::memory_armed, mode, range_, parts_.clock->tsc());
}

void WrittenEngine::flush()
{
    parts_.view->flush_all();
    ++cycles_;
}

template <typename Work>
void WrittenEngine::charged(std::uint64_t besides, Work&& work)
{
    Tsc const begun = parts_.clock->tsc();
    std::uint64_t const flushes = cycles_;
    work();
    std::uint64_t const sending = parts_.stream->sending_ticks();
    budget_.take(parts_.clock->tsc().value - begun.value + besides + sending - sending_ticks_ +
                 (cycles_ - flushes) * options_.flush_ticks * options_.cpus);
    sending_ticks_ = sending;
}

void WrittenEngine::stop(Tsc now)
{
    retire(count_, now);
    for (; count_ != 0; --count_) // still under way: not recorded, the range is left anyway
        head_ = (head_ + 1) % capacity;
    put_range(*parts_.stream, Kind::memory_disarmed, mode, range_, now);
    range_ = {};
}

void WrittenEngine::on_fault(Fault const& fault)
{
    charged(options_.fault_ticks, [&] { take_fault(fault); });
}

void WrittenEngine::take_fault(Fault const& fault)
{
    Gpa const page{fault.gpa.value & ~(page_bytes - 1)};
    if (paced() && (!budget_.open(fault.now) || parts_.stream->room() < parts_.stream->capacity() / 4))
        return leave_open(page, fault.now);
    if (fault.by_page_walk && parts_.view->has_access_bits())
        return open_walked(page, fault.now);
    if (count_ == capacity) // each of them under way, or nobody calls tick(): never more than this waits
        retire(max_batch, fault.now);
    if (count_ == capacity) {
        ++records_;
        ++dropped_;
        (void)parts_.view->grant(page, paging::rights_all);
        return;
    }
    parts_.view->grant(page, paging::rights_read_write);
    add({fault.gpa, fault.now, Tsc{fault.now.value + delay_ticks_}, progress_->left_fault(fault.cpu), fault.cpu,
         fault.by_page_walk, false});
    if (count_ > request_.delay_depth.get() + max_batch)
        retire(max_batch, fault.now);
}

void WrittenEngine::leave_open(Gpa page, Tsc now)
{
    PageRange const range = open_.add(page, range_);
    parts_.view->restore(range);
    put_range(*parts_.stream, Kind::memory_disarmed, mode, range, now);
}

/// What has been left alone longest is looked at again.
void WrittenEngine::arm_oldest(Tsc now)
{
    std::array<PageRange, most_armed_again> ranges;
    std::size_t count = 0;
    for (; count < ranges.size() && !open_.empty(); ++count) {
        ranges[count] = open_.take();
        parts_.view->arm(ranges[count], paging::rights_read_execute, PageSize::small);
    }
    flush();
    for (PageRange const& range : std::span{ranges}.first(count))
        put_range(*parts_.stream, Kind::memory_armed, mode, range, parts_.clock->tsc());
    armed_open_ = now;
}

Tsc WrittenEngine::next_arming(Tsc now)
{
    if (open_.empty())
        return never;
    Tsc const rested{armed_open_.value + parts_.clock->tsc_hz() / 1'000'000 * arm_again_us};
    bool const room = parts_.stream->room() >= parts_.stream->capacity() / 2;
    return std::max(rested, room ? budget_.reaches_at(budget_.burst() / 2, now)
                                 : Tsc{now.value + parts_.clock->tsc_hz() / 1000});
}

void WrittenEngine::add(Waiting const& page)
{
    waiting(count_) = page;
    ++count_;
}

/// A page of the guest's page tables. A walk need not have written it: nothing is recorded.
void WrittenEngine::open_walked(Gpa page, Tsc now)
{
    if (walked_count_ == walked_.size())
        arm_walked();
    if (walked_count_ == 0)
        walked_until_ = Tsc{now.value + parts_.clock->tsc_hz() / 1000 * walked_ms};
    walked_[walked_count_++] = page;
    parts_.view->grant(page, paging::rights_read_write);
}

void WrittenEngine::arm_walked()
{
    parts_.view->arm_pages(std::span{walked_}.first(walked_count_), paging::rights_read_execute);
    flush();
    walked_count_ = 0;
    walked_until_ = never;
}

/// The oldest `count` pages, a batch for each shootdown.
void WrittenEngine::retire(std::size_t count, Tsc now)
{
    std::array<Gpa, max_batch> pages;
    std::array<Waiting, max_batch> batch;
    while (count != 0) {
        std::size_t const size = std::min({count, max_batch, count_});
        if (size == 0)
            return;
        for (std::size_t i = 0; i < size; ++i) {
            batch[i] = waiting(i);
            pages[i] = Gpa{batch[i].gpa.value & ~(page_bytes - 1)};
        }
        head_ = (head_ + size) % capacity;
        count_ -= size;
        count -= size;
        parts_.view->arm_pages(std::span{pages}.first(size), paging::rights_read_execute);
        flush();
        for (std::size_t i = 0; i < size; ++i)
            judge_retired(batch[i], now);
    }
}

void WrittenEngine::judge_retired(Waiting const& page, Tsc now)
{
    bool const dirty = page.was_dirty || !parts_.view->has_access_bits() || parts_.view->access_bits(page.gpa).dirty;
    bool const standing = now.value - page.since.value >= parts_.clock->tsc_hz() / 1000 * standing_ms;
    if (progress_->left_fault(page.cpu) == page.left_fault && !standing) {
        Waiting again = page;
        again.due = Tsc{now.value + delay_ticks_};
        again.was_dirty = dirty && parts_.view->has_access_bits(); // the grant clears the bit
        (void)parts_.view->grant(page.gpa, paging::rights_read_write);
        return add(again);
    }
    if (!dirty)
        return; // not written yet: the write will fault
    record(page);
}

void WrittenEngine::record(Waiting const& page)
{
    std::uint64_t const number = page.gpa.value / page_bytes;
    if (request_.thin.get() > 1 && number < writes_.size()) {
        bool const skip = writes_[number] != 0;
        writes_[number] = static_cast<std::uint8_t>((writes_[number] + 1U) % request_.thin.get());
        if (skip)
            return;
    }
    wire::Record record{};
    record.kind = static_cast<std::uint8_t>(Kind::memory_write);
    record.address = page.gpa.value;
    record.length = std::uint32_t{page_bytes};
    record.page_class = static_cast<std::uint8_t>(PageSize::small);
    record.source = page.cpu;
    std::uint16_t flags = page.by_page_walk ? wire::record_flag::page_walk : std::uint16_t{0};
    std::byte const* content = nullptr;
    if (parts_.memory->read(Gpa{number * page_bytes}, copy_)) {
        flags |= wire::record_flag::has_entropy;
        record.entropy = parts_.stream->entropy(copy_.data());
        if (is_zero(copy_))
            flags |= wire::record_flag::zero_content;
        else if ((request_.flags.get() & wire::memory_flag::no_content) == 0)
            content = copy_.data();
    } else {
        flags |= wire::record_flag::content_unreadable;
    }
    record.flags = flags;
    ++records_;
    ++pages_;
    if (!parts_.stream->put(record, content, page.since))
        ++dropped_;
}

std::size_t WrittenEngine::overdue(Tsc now)
{
    std::size_t old = 0;
    while (old < count_ && waiting(old).due <= now)
        ++old;
    return old;
}

Tsc WrittenEngine::tick(Tsc now)
{
    charged(0, [&] {
        std::size_t const deep =
            count_ > request_.delay_depth.get() ? count_ - request_.delay_depth.get() : std::size_t{0};
        retire(std::min(std::max(overdue(now), deep), max_batch), now);
        if (now >= walked_until_)
            arm_walked();
        if (now >= next_arming(now))
            arm_oldest(now);
    });
    Tsc next = std::min(walked_until_, next_arming(now));
    if (count_ != 0)
        next = std::min(next, std::max(now, waiting(0).due));
    return next;
}

void WrittenEngine::status(wire::MemoryStatus& status) const
{
    status.records = records_;
    status.dropped = dropped_;
    status.cycles = cycles_;
    status.pages = pages_;
}

} // namespace undercroft::memory
