// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The mode, and the controller of its cost. watch_scan.cpp has the scans.
#include "hypervisor/memory/watch.hpp"

#include <algorithm>

#include "base/mul_div.hpp"

namespace undercroft::memory {
namespace {

constexpr std::uint64_t first_fine_target = 64;
constexpr std::uint64_t least_fine_target = 1;
/// The coverage shrinks when scans become rarer than this, and grows when they are more frequent than that. Cost
/// follows coverage, and one step changes it by a quarter: four times between the two leave room for both.
constexpr std::uint64_t long_period_us = 160'000, short_period_us = 40'000;

} // namespace

Watch::Watch(EngineParts const& engine, WatchOptions const& options)
    : engine_{engine}, options_{options}, capture_{engine}
{
}

wire::ControlResult Watch::judge(wire::MemoryRequest& request) const
{
    std::uint64_t const begin = request.range_begin.get(), bytes = request.range_bytes.get();
    bool const aligned = ((begin | bytes) & (page_bytes - 1)) == 0;
    if (request.flags.get() != 0 || !aligned || begin + bytes < begin || request.budget_permille.get() > 1000)
        return wire::ControlResult::bad_request;
    if (!options_.access_bits)
        return wire::ControlResult::not_possible;
    if (request.budget_permille.get() == 0)
        request.budget_permille = static_cast<std::uint16_t>(options_.default_budget_permille);
    return wire::ControlResult::done;
}

ViewUse Watch::view_use(wire::MemoryRequest const&) const
{
    return ViewUse::faults_and_bits;
}

std::uint64_t Watch::ticks_of_us(std::uint64_t us) const
{
    return mul_div(us, engine_.clock->tsc_hz(), 1'000'000);
}

void Watch::start(wire::MemoryRequest const& request, Tsc now)
{
    if (phase_ != Phase::off)
        stop(now);
    request_ = request;
    std::uint64_t const begin = request.range_begin.get();
    std::uint64_t const end = request.range_bytes.get() == 0 ? ~0ULL : begin + request.range_bytes.get();
    std::array<PageRange, WatchRegions::max_regions> ranges;
    std::size_t count = 0;
    for (PageRange const& usable : engine_.view->usable()) {
        std::uint64_t const from = std::max(usable.begin.value, begin), to = std::min(usable.end(), end);
        // Half of the room at most: regions must be able to split. What is left out is never said to be scanned.
        if (from < to && count < ranges.size() / 2)
            ranges[count++] = {Gpa{from}, to - from};
    }
    (void)regions_.reset({ranges.data(), count});
    for (PageRange const& range : std::span{ranges.data(), count}) {
        engine_.view->restore(range);
        engine_.view->arm(range, paging::rights_all, PageSize::huge);
    }
    scan_ = 0;
    fine_target_ = first_fine_target;
    period_sum_ = scans_since_adapting_ = fault_cost_ = period_ = 0;
    sending_ticks_ = engine_.stream->sending_ticks();
    capture_.clear();
    // The first scan says what was accessed since the start, not before.
    forget_bits();
    engine_.view->flush_all();
    phase_ = Phase::waiting;
    next_scan_ = Tsc{now.value + ticks_of_us(options_.shortest_period_us)};
}

void Watch::forget_bits()
{
    struct Nobody final : AccessVisitor {
        void visit(Gpa, std::uint32_t, PageSize, AccessBits) override {}
    } nobody;
    for (WatchRegion const& region : regions_.all())
        engine_.view->take_access_bits(region.range, nobody);
}

void Watch::stop(Tsc now)
{
    capture_.release({Gpa{0}, ~0ULL}, now);
    phase_ = Phase::off;
}

void Watch::on_fault(Fault const& fault)
{
    Tsc const begun = engine_.clock->tsc();
    if (!capture_.on_fault(fault))
        (void)engine_.view->grant(fault.gpa, paging::rights_all);
    fault_cost_ +=
        engine_.clock->tsc().value - begun.value + std::max<std::uint64_t>(options_.fault_ticks, exit_ticks());
}

/// Twice the cheapest is taken for the usual: nothing was cached of the sensor then, and of the guest afterwards.
std::uint64_t Watch::exit_ticks() const
{
    std::uint64_t const cheapest =
        engine_.cheapest_exit != nullptr ? engine_.cheapest_exit->load(std::memory_order_relaxed) : ~0ULL;
    return cheapest == ~0ULL ? 0 : 2 * std::min(cheapest, engine_.clock->tsc_hz() / 1000);
}

Tsc Watch::tick(Tsc now)
{
    if (phase_ == Phase::off)
        return never;
    if (phase_ == Phase::waiting) {
        if (now.value < next_scan_.value)
            return next_scan_;
        begin_scan(now);
    }
    Tsc const begun = engine_.clock->tsc();
    std::uint64_t const slice = ticks_of_us(options_.slice_us);
    bool more = true;
    while (more && engine_.clock->tsc().value - begun.value < slice)
        more = scan_slice(now);
    if (!more)
        end_scan(now);
    // The exit at which this is done was as a rule made for it.
    cost_ += engine_.clock->tsc().value - begun.value + exit_ticks();
    if (more)
        return now;
    pay();
    return next_scan_;
}

/// The wait is as long as the scan's cost is worth at the budget's rate: whatever it cost, the share is kept, and
/// nothing is fed back that could swing.
void Watch::pay()
{
    std::uint64_t const sending = engine_.stream->sending_ticks();
    cost_ += fault_cost_ + sending - sending_ticks_;
    sending_ticks_ = sending;
    fault_cost_ = 0;
    std::uint64_t const share = std::uint64_t{request_.budget_permille.get()} * options_.cpus;
    std::uint64_t const owed = share == 0 ? ~0ULL >> 1 : mul_div(cost_, 1000, share);
    period_ = std::max({owed, ticks_of_us(options_.shortest_period_us), ticks_of_us(request_.period_us.get())});
    next_scan_ = Tsc{scan_begun_.value + period_};
    period_sum_ += period_;
    ++scans_since_adapting_;
    phase_ = Phase::waiting;
    ++cycles_;
}

/// Often enough for the mean to mean something; when scans are rare, not much later than by the clock.
bool Watch::time_to_adapt() const
{
    constexpr std::uint64_t enough_scans = 16, few_scans = 4, long_ago_us = 1'000'000;
    return scans_since_adapting_ >= enough_scans ||
           (scans_since_adapting_ >= few_scans && period_sum_ > ticks_of_us(long_ago_us));
}

/// Every some scans: regions that became alike are joined, and the fine ones made fit what the budget bears.
bool Watch::adapt(Tsc now)
{
    regions_.merge();
    std::uint64_t const mean = period_sum_ / scans_since_adapting_;
    period_sum_ = scans_since_adapting_ = 0;
    std::uint64_t const used = regions_.fine_granules();
    if (mean > ticks_of_us(long_period_us))
        fine_target_ = std::max(least_fine_target, used - used / 4);
    else if (mean < ticks_of_us(short_period_us) && used + used / 8 >= fine_target_)
        fine_target_ += fine_target_ / 4 + 1;
    bool changed = false;
    for (std::size_t at = regions_.coarsen(fine_target_); at != WatchRegions::none;
         at = regions_.coarsen(fine_target_)) {
        change_size(regions_.all()[at], now);
        changed = true;
    }
    for (std::size_t at = regions_.refine(fine_target_); at != WatchRegions::none; at = regions_.refine(fine_target_)) {
        change_size(regions_.all()[at], now);
        changed = true;
    }
    return changed;
}

void Watch::status(wire::MemoryStatus& status) const
{
    status.records = records_ + capture_.records();
    status.dropped = dropped_;
    status.cycles = cycles_;
    status.pages = pages_;
    status.held = std::uint64_t{0};
}

} // namespace undercroft::memory
