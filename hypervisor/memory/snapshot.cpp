// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The mode: requests, faults, device writes, status. snapshot_sweep.cpp has the sweeps.
#include "hypervisor/memory/snapshot.hpp"

#include <algorithm>

#include "base/mul_div.hpp"
#include "hypervisor/core/log.hpp"

namespace undercroft::memory {
namespace {

bool has(wire::MemoryRequest const& request, std::uint16_t flag)
{
    return (request.flags.get() & flag) != 0;
}

} // namespace

Snapshot::Snapshot(EngineParts const& engine, SnapshotParts const& parts, SnapshotOptions const& options)
    : engine_{engine}, parts_{parts}, options_{options}, copier_{engine, parts.reserve}, todo_{parts.todo}
{
}

wire::ControlResult Snapshot::judge(wire::MemoryRequest& request) const
{
    constexpr std::uint16_t known = wire::memory_flag::consistent | wire::memory_flag::full_sweeps;
    std::uint64_t const begin = request.range_begin.get(), bytes = request.range_bytes.get();
    bool const aligned = ((begin | bytes) & (page_bytes - 1)) == 0;
    if ((request.flags.get() & ~known) != 0 || !aligned || begin + bytes < begin ||
        request.budget_permille.get() > 1000)
        return wire::ControlResult::bad_request;
    // Who asks for a rate wants it, and more of the guest's time with it.
    bool const wants_rate = request.rate_kib_per_s.get() != 0;
    if (!wants_rate)
        request.rate_kib_per_s = options_.default_rate_kib_per_s;
    if (request.budget_permille.get() == 0)
        request.budget_permille =
            static_cast<std::uint16_t>(wants_rate ? options_.cost_permille_with_rate : options_.cost_permille);
    return wire::ControlResult::done;
}

ViewUse Snapshot::view_use(wire::MemoryRequest const& request) const
{
    bool const repeats = request.period_us.get() != 0 && !has(request, wire::memory_flag::full_sweeps);
    if (repeats)
        return options_.access_bits ? ViewUse::faults_and_bits : ViewUse::faults;
    return has(request, wire::memory_flag::consistent) ? ViewUse::faults : ViewUse::none;
}

bool Snapshot::later_are_incremental() const
{
    return request_.period_us.get() != 0 && !has(request_, wire::memory_flag::full_sweeps);
}

std::uint64_t Snapshot::ticks_of_us(std::uint64_t us) const
{
    return mul_div(us, engine_.clock->tsc_hz(), 1'000'000);
}

void Snapshot::start(wire::MemoryRequest const& request, Tsc now)
{
    if (phase_ != Phase::off)
        stop(now);
    request_ = request;
    std::uint64_t const hz = engine_.clock->tsc_hz();
    std::uint64_t const rate = std::uint64_t{request.rate_kib_per_s.get()} * 1024;
    bytes_.configure(rate, rate / 100 + page_bytes, hz, now);
    std::uint64_t const share = mul_div(hz, std::uint64_t{request.budget_permille.get()} * options_.cpus, 1000);
    cost_.configure(share, share / 100 + 1, hz, now);
    sending_ticks_ = engine_.stream->sending_ticks();
    first_ = end_ = 0;
    std::uint64_t const bytes = request.range_bytes.get() == 0 ? ~0ULL : request.range_bytes.get();
    bool any = false;
    parts_.index->for_each_part(Gpa{request.range_begin.get()}, bytes, [&](std::uint64_t page, std::uint64_t pages) {
        first_ = any ? first_ : page;
        end_ = page + pages;
        any = true;
    });
    by_faults_ = later_are_incremental() && !engine_.view->has_access_bits();
    have_base_ = false;
    if (view_use(request_) != ViewUse::none) {
        arm(paging::rights_all); // in small entries
        engine_.view->flush_all();
    }
    begin_sweep();
}

/// What was begun gets no end: the collector knows it as incomplete.
void Snapshot::stop(Tsc)
{
    phase_ = Phase::off;
    consistent_ = have_base_ = by_faults_ = false;
    copier_.clear();
}

void Snapshot::on_fault(Fault const& fault)
{
    if (auto const page = parts_.index->number(fault.gpa); page && fault.write) {
        if (by_faults_)
            parts_.log->note_pages(*page, 1);
        copy_before_write(*page, fault.cpu);
    }
    (void)engine_.view->grant(fault.gpa, paging::rights_all);
}

void Snapshot::on_device_write(PageRange range, std::uint16_t cpu, Tsc)
{
    if (!consistent_)
        return;
    parts_.index->for_each_part(range.begin, range.bytes, [&](std::uint64_t first, std::uint64_t pages) {
        std::uint64_t const end = std::min(first + pages, end_);
        for (std::uint64_t page = todo_.next_set(std::max(first, first_), end); page != PageBitmap::none;
             page = todo_.next_set(page + 1, end))
            copy_before_write(page, cpu);
    });
}

void Snapshot::copy_before_write(std::uint64_t page, std::uint16_t cpu)
{
    bool const wanted = consistent_ && page >= first_ && page < end_ && todo_.test(page);
    if (!wanted || copy_page(page, cpu, true))
        return;
    ++held_;
    Tsc const since = engine_.clock->tsc();
    do {
        if (engine_.clock->tsc().value - since.value > ticks_of_us(options_.hold_limit_ms * 1000ULL))
            return lose_consistency();
        parts_.room_maker->make_room();
        (void)copier_.drain();
    } while (!copy_page(page, cpu, true));
}

/// The guest comes first: rather than standing still until the collector is back, it goes on and the sweep ends live.
void Snapshot::lose_consistency()
{
    ++broken_;
    consistent_ = false;
    core::log(core::LogLevel::warning, core::str("snapshot: no room for too long, sweep "), core::dec(sweeps_),
              core::str(" goes on as a live one"));
    open_pages(std::max(cursor_ / granule_pages * granule_pages, first_), end_);
}

bool Snapshot::copy_page(std::uint64_t page, std::uint16_t cpu, bool may_use_reserve)
{
    auto const result = copier_.copy(parts_.index->page(page), cpu, may_use_reserve);
    if (result == PageCopier::Result::no_room)
        return false;
    todo_.clear(page);
    if (result == PageCopier::Result::unreadable)
        return true;
    ++recorded_;
    ++records_;
    ++pages_;
    return true;
}

void Snapshot::status(wire::MemoryStatus& status) const
{
    status.records = records_;
    status.dropped = std::uint64_t{0};
    status.cycles = cycles_;
    status.pages = pages_;
    status.held = held_;
}

} // namespace undercroft::memory
