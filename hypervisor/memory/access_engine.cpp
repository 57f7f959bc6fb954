// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/access_engine.hpp"

#include <algorithm>

#include "base/mul_div.hpp"

namespace undercroft::memory {
namespace {

using wire::ControlResult;
using wire::Kind;
using wire::MemoryRequest;
using namespace wire::memory_flag;

constexpr std::uint32_t default_period_us = 300'000; // n = 300 at 1 ms, where the paper's curve is best
constexpr std::uint32_t least_period_us = 100;
constexpr std::uint64_t max_wait_us = 10'000, retry_us = 100;
constexpr std::uint16_t mode = static_cast<std::uint16_t>(wire::MemoryMode::access);

/// What was seen, and which rights let the next access of another kind be seen as well.
struct Seen {
    Kind kind;
    paging::Permissions grant;
};

Seen judge_access(Fault const& fault, paging::Permissions had, bool execute_only)
{
    // AMD calls every walk of guest page tables a write: it proves a read only.
    if (fault.by_page_walk)
        return {Kind::memory_read, {true, fault.write, false}};
    if (fault.fetch)
        return {Kind::memory_execute, {false, false, true}};
    if (!fault.write)
        return {Kind::memory_read, paging::rights_read};
    // Where a page that may be executed may always be read as well, nobody knows whether it was.
    bool const was_read = had.read && (execute_only || !had.execute);
    return {fault.read || was_read ? Kind::memory_read_write : Kind::memory_write, paging::rights_read_write};
}

} // namespace

ControlResult AccessEngine::judge(MemoryRequest& request) const
{
    constexpr std::uint16_t flags = huge_pages | keep_entries | keep_tlb | only_touched;
    PageRange range;
    std::uint32_t const period = request.period_us.get(), turns = request.every_turns.get();
    bool const bad = (request.flags.get() & ~flags) != 0 || request.budget_permille.get() != 0 ||
                     request.rate_kib_per_s.get() != 0 || request.thin.get() != 0 || request.delay_depth.get() != 0 ||
                     request.delay_ms.get() != 0 || (period != 0 && turns != 0) ||
                     (period != 0 && period < least_period_us) || !read_range(request, parts_.view->usable(), range);
    if (bad)
        return ControlResult::bad_request;
    if (period == 0 && turns == 0)
        request.period_us = default_period_us;
    request.range_begin = range.begin.value;
    request.range_bytes = range.bytes;
    return ControlResult::done;
}

void AccessEngine::start(MemoryRequest const& request, Tsc now)
{
    if (range_.bytes != 0) {
        parts_.view->restore(range_);
        put_range(*parts_.stream, Kind::memory_disarmed, mode, range_, now);
    }
    request_ = request;
    range_ = {Gpa{request.range_begin.get()}, request.range_bytes.get()};
    size_ = flag(huge_pages) ? PageSize::huge : PageSize::small;
    period_ = mul_div(request.period_us.get(), parts_.clock->tsc_hz(), 1'000'000);
    next_ = period_ != 0 ? Tsc{now.value + period_} : never;
    turns_ = 0;
    turn_due_ = false;
    due_since_ = never;
    // The first time also changes the size of pages, which no processor may have cached then.
    arm_all(now, true);
}

void AccessEngine::stop(Tsc now)
{
    put_range(*parts_.stream, Kind::memory_disarmed, mode, range_, now);
    range_ = {};
    next_ = never;
}

void AccessEngine::arm_all(Tsc now, bool flush)
{
    parts_.view->arm(range_, paging::rights_none, size_);
    touched_count_ = 0;
    faulted_ = {};
    if (flush)
        parts_.view->flush_all();
    put_range(*parts_.stream, Kind::memory_armed, mode, range_, now);
    ++cycles_;
}

void AccessEngine::arm_again(Tsc now)
{
    bool const flush = !flag(keep_tlb);
    if (flag(keep_entries)) {
        if (flush)
            parts_.view->flush_all();
        ++cycles_;
        return;
    }
    if (!flag(only_touched) || touched_count_ > max_touched)
        return arm_all(now, flush);
    // All other pages of the range have been armed since the first time.
    parts_.view->arm_pages(std::span{touched_}.first(touched_count_), paging::rights_none);
    touched_count_ = 0;
    faulted_ = {};
    if (flush)
        parts_.view->flush_all();
    put_range(*parts_.stream, Kind::memory_armed, mode, range_, now);
    ++cycles_;
}

void AccessEngine::on_fault(Fault const& fault)
{
    if (Faulted& cpu = faulted_[fault.cpu]; !cpu.is)
        cpu = {true, progress_->left_fault(fault.cpu)};
    PageState const page = parts_.view->state(fault.gpa);
    Seen const seen = judge_access(fault, page.rights, parts_.view->has_execute_only());
    if (!page.rights.any() && touched_count_ <= max_touched) {
        if (touched_count_ < max_touched)
            touched_[touched_count_] = page.begin;
        ++touched_count_;
    }
    parts_.view->grant(fault.gpa, seen.grant);
    wire::Record record{};
    record.kind = static_cast<std::uint8_t>(seen.kind);
    record.address = fault.gpa.value;
    record.length = static_cast<std::uint32_t>(bytes_of(page.size));
    record.page_class = static_cast<std::uint8_t>(page.size);
    record.source = fault.cpu;
    record.flags = fault.by_page_walk ? wire::record_flag::page_walk : std::uint16_t{0};
    ++records_;
    if (!parts_.stream->put(record, nullptr, fault.now))
        ++dropped_;
}

bool AccessEngine::all_moved(Tsc now) const
{
    if (now.value - due_since_.value >= parts_.clock->tsc_hz() / 1'000'000 * max_wait_us)
        return true;
    for (std::uint16_t cpu = 0; cpu < faulted_.size(); ++cpu)
        if (faulted_[cpu].is && progress_->left_fault(cpu) == faulted_[cpu].left_fault)
            return false;
    return true;
}

Tsc AccessEngine::tick(Tsc now)
{
    if (now < next_)
        return next_;
    due_since_ = std::min(due_since_, now);
    if (!all_moved(now))
        return Tsc{now.value + parts_.clock->tsc_hz() / 1'000'000 * retry_us};
    due_since_ = never;
    arm_again(now);
    // Cycles that were missed are not made up for.
    std::uint64_t const late = (now.value - next_.value) / period_;
    next_ = Tsc{next_.value + (late + 1) * period_};
    return next_;
}

void AccessEngine::on_turn(std::uint16_t /*cpu*/, Tsc now)
{
    std::uint32_t const every = request_.every_turns.get();
    if (every == 0 || (++turns_ % every != 0 && !turn_due_))
        return;
    due_since_ = std::min(due_since_, now);
    turn_due_ = !all_moved(now);
    if (turn_due_)
        return;
    due_since_ = never;
    arm_again(now);
}

void AccessEngine::status(wire::MemoryStatus& status) const
{
    status.records = records_;
    status.dropped = dropped_;
    status.cycles = cycles_;
    status.pages = records_;
}

} // namespace undercroft::memory
