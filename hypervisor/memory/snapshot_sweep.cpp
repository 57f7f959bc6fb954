// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One sweep after the other, in bounded pieces.
//   collect  the dirty bits since the sweep before say what to copy (in the first sweep: everything)
//   copy     begins with a flush: what is written from there on marks its page for the next sweep
//   end      what is still in the reserve, and the sweep's last word
// Nothing is lost in between: a page whose bit was taken is copied after the flush, with all that was written
// through translations that no longer marked it.
#include <algorithm>

#include "base/mul_div.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/memory/snapshot.hpp"

namespace undercroft::memory {
namespace {

constexpr std::uint64_t most_looked_through = 1ULL << 20; ///< bits of the bitmap in one tick

/// Notes dirty pages for this sweep or for the next one.
template <typename Note>
class DirtyPages final : public AccessVisitor {
public:
    DirtyPages(PageIndex const& index, Note note) : index_{&index}, note_{note} {}
    void visit(Gpa first, std::uint32_t count, PageSize size, AccessBits bits) override
    {
        if (bits.dirty)
            index_->for_each_part(first, count * bytes_of(size), note_);
    }

private:
    PageIndex const* index_;
    Note note_;
};

template <typename Note>
class Targets final : public RangeVisitor {
public:
    Targets(PageIndex const& index, Note note) : index_{&index}, note_{note} {}
    void visit(PageRange range) override { index_->for_each_part(range.begin, range.bytes, note_); }

private:
    PageIndex const* index_;
    Note note_;
};

} // namespace

template <typename Visit>
void Snapshot::for_each_piece(std::uint64_t first, std::uint64_t end, Visit&& visit) const
{
    for (PageIndex::Range const& range : parts_.index->ranges()) {
        std::uint64_t const from = std::max(first, range.first_number);
        std::uint64_t const to = std::min(end, range.first_number + range.pages);
        if (from < to)
            visit(PageRange{parts_.index->page(from), (to - from) * page_bytes});
    }
}

void Snapshot::arm(paging::Permissions keep)
{
    for_each_piece(first_, end_, [&](PageRange piece) { engine_.view->arm(piece, keep, PageSize::small); });
}

Tsc Snapshot::tick(Tsc now)
{
    if (phase_ == Phase::off)
        return never;
    Tsc const begun = engine_.clock->tsc();
    bool worked = false;
    if (phase_ == Phase::waiting && now.value >= next_sweep_.value)
        begin_sweep();
    if (phase_ == Phase::collect)
        worked = collect_some(now);
    else if (phase_ == Phase::copy)
        worked = copy_some(now);
    else if (phase_ == Phase::end)
        worked = end_sweep();
    // A live sweep may take as long as it likes, and pays for its sending, too. A consistent one is over the sooner the
    // fewer pages must be copied before a write.
    std::uint64_t const sending = engine_.stream->sending_ticks();
    bool const live = (request_.flags.get() & wire::memory_flag::consistent) == 0;
    cost_.take(engine_.clock->tsc().value - begun.value + (live ? sending - sending_ticks_ : 0));
    sending_ticks_ = sending;
    if (phase_ == Phase::off)
        return never;
    if (phase_ == Phase::waiting)
        return next_sweep_;
    Tsc const ended = engine_.clock->tsc();
    std::uint64_t const soonest = now.value + ticks_of_us(worked ? options_.tick_us : options_.tick_us * 4ULL);
    return Tsc{std::max({soonest, bytes_.opens_at(ended).value, cost_.opens_at(ended).value})};
}

void Snapshot::begin_sweep()
{
    ++sweeps_;
    recorded_ = 0;
    cursor_ = first_;
    incremental_ = have_base_;
    next_sweep_ = Tsc{engine_.clock->tsc().value + ticks_of_us(request_.period_us.get())};
    todo_.clear_all();
    if (!incremental_)
        todo_.set_range(first_, end_ - first_);
    phase_ = Phase::collect;
}

/// Dirty bits say what changed since the sweep before, and are cleared for the next one.
bool Snapshot::collect_some(Tsc now)
{
    if (reads_bits()) {
        if (!cost_.open(now))
            return false;
        std::uint64_t const to = std::min(end_, cursor_ + options_.granules_per_tick * granule_pages);
        take_dirty(cursor_, to);
        cursor_ = to;
    } else {
        cursor_ = end_;
    }
    if (cursor_ == end_ && copier_.has_room()) // for the sweep's first word
        begin_copying();
    return true;
}

void Snapshot::take_dirty(std::uint64_t first, std::uint64_t end)
{
    auto const note = [this](std::uint64_t page, std::uint64_t pages) { todo_.set_range(page, pages); };
    DirtyPages visitor{*parts_.index, note};
    for_each_piece(first, end, [&](PageRange piece) { engine_.view->take_access_bits(piece, visitor); });
}

void Snapshot::begin_copying()
{
    cursor_ = first_;
    phase_ = Phase::copy;
    if ((request_.flags.get() & wire::memory_flag::consistent) != 0) {
        // Behind a flush what nobody has touched need not be looked through while all CPUs wait.
        if (reads_bits())
            engine_.view->flush_all();
        Tsc const begun = engine_.clock->tsc();
        bool const held = parts_.cpus->hold();
        if (held)
            begin_consistent();
        parts_.cpus->release();
        core::log(core::LogLevel::info, core::str("snapshot: sweep "), core::dec(sweeps_),
                  core::str(" held the CPUs for "),
                  core::dec(mul_div(engine_.clock->tsc().value - begun.value, 1'000'000, engine_.clock->tsc_hz())),
                  core::str(" us, "), core::dec(recorded_), core::str(" pages copied meanwhile"));
        if (!held) {
            ++broken_;
            core::log(core::LogLevel::warning,
                      core::str("snapshot: a CPU stayed in the guest, the sweep is a live one"));
            begin_live();
        }
    } else {
        begin_live();
    }
    have_base_ = later_are_incremental();
}

void Snapshot::begin_live()
{
    if (by_faults_)
        arm(paging::rights_read_execute);
    if (later_are_incremental())
        engine_.view->flush_all();
    parts_.log->take(todo_);
    mark_standing();
    say(wire::Kind::memory_sweep_begin, incremental_ ? 1 : 0, false);
}

/// All other CPUs are out of the guest. Few pages were written since the bits were collected, so this is short.
void Snapshot::begin_consistent()
{
    if (reads_bits())
        take_dirty(first_, end_);
    arm(paging::rights_read_execute);
    engine_.view->flush_all();
    parts_.log->take(todo_);
    mark_standing();
    consistent_ = true;
    say(wire::Kind::memory_sweep_begin, incremental_ ? 1 : 0, true);
    // What devices write to from here on without a word. (The bits are set: they were taken from the log.)
    parts_.log->for_each_in_flight([this](std::uint64_t page) { copy_before_write(page, 0); });
    auto const copy = [this](std::uint64_t first, std::uint64_t pages) {
        for (std::uint64_t page = first; page < first + pages; ++page)
            copy_before_write(page, 0);
    };
    Targets visitor{*parts_.index, copy};
    parts_.targets->standing_targets(visitor);
}

void Snapshot::mark_standing()
{
    auto const note = [this](std::uint64_t page, std::uint64_t pages) { todo_.set_range(page, pages); };
    Targets visitor{*parts_.index, note};
    parts_.targets->standing_targets(visitor);
}

/// False: nothing could be done now.
bool Snapshot::copy_some(Tsc now)
{
    if (!copier_.drain())
        return false;
    std::uint64_t const limit = std::min(end_, cursor_ + most_looked_through);
    for (std::uint32_t copied = 0; copied < options_.pages_per_tick; ++copied) {
        if (!bytes_.open(now) || !cost_.open(now))
            return copied != 0;
        std::uint64_t const page = todo_.next_set(cursor_, limit);
        if (page == PageBitmap::none) {
            pass_to(limit);
            if (limit == end_)
                phase_ = Phase::end;
            return true;
        }
        if (!copy_page(page, 0, false))
            return copied != 0;
        bytes_.take(copier_.last_bytes());
        pass_to(page + 1);
    }
    return true;
}

/// Everything before `page` is recorded. Writes there need not be seen any more: whole 2 MiB are opened at once.
void Snapshot::pass_to(std::uint64_t page)
{
    std::uint64_t const from = cursor_ / granule_pages * granule_pages;
    std::uint64_t const to = page == end_ ? end_ : page / granule_pages * granule_pages;
    cursor_ = page;
    if (consistent_ && from < to)
        open_pages(std::max(from, first_), to);
}

void Snapshot::open_pages(std::uint64_t first, std::uint64_t end)
{
    if (by_faults_)
        return; // each write is still to be noted
    auto const note = [this](std::uint64_t page, std::uint64_t pages) { parts_.log->note_pages(page, pages); };
    DirtyPages visitor{*parts_.index, note};
    for_each_piece(first, end, [&](PageRange piece) {
        // What was written since its copy was made belongs to the next sweep, whatever becomes of the bits.
        if (reads_bits())
            engine_.view->take_access_bits(piece, visitor);
        engine_.view->restore(piece);
    });
}

bool Snapshot::end_sweep()
{
    if (!copier_.drain() || !copier_.has_room())
        return false;
    say(wire::Kind::memory_sweep_end, recorded_, consistent_);
    consistent_ = false;
    ++cycles_;
    phase_ = request_.period_us.get() == 0 ? Phase::off : Phase::waiting;
    return true;
}

void Snapshot::say(wire::Kind kind, std::uint32_t length, bool consistent)
{
    wire::Record record{};
    record.address = sweeps_;
    record.length = length;
    record.kind = static_cast<std::uint8_t>(kind);
    record.source = std::uint16_t{consistent};
    ++records_;
    (void)engine_.stream->put(record, nullptr, engine_.clock->tsc());
}

} // namespace undercroft::memory
