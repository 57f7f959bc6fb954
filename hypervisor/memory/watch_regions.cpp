// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/watch_regions.hpp"

#include <algorithm>

namespace undercroft::memory {
namespace {

bool adjoin(WatchRegion const& a, WatchRegion const& b)
{
    return a.range.end() == b.range.begin.value && a.fine == b.fine;
}

std::uint16_t learnt(std::uint16_t heat, std::uint64_t accessed, std::uint64_t pieces, std::uint32_t cooling)
{
    std::uint64_t const share = accessed * full_heat / pieces;
    if (share > heat)
        return static_cast<std::uint16_t>(heat + (share - heat + 3) / 4);
    return static_cast<std::uint16_t>(heat - ((heat - share) * std::min(cooling, 512U) + 1023) / 1024);
}

} // namespace

bool WatchRegions::reset(std::span<PageRange const> usable)
{
    count_ = 0;
    for (PageRange const& range : usable) {
        if (count_ == regions_.size())
            return false;
        regions_[count_] = {};
        regions_[count_++].range = range;
    }
    return true;
}

void WatchRegions::learn(std::size_t at, LookResult const& look, std::uint32_t scan, std::uint32_t cooling)
{
    WatchRegion& region = regions_[at];
    std::uint64_t const pieces = region.granules();
    cooling *= region.every;
    if (look.accessed != 0) {
        region.quiet = 0;
        region.every = 1;
    } else if (++region.quiet % 4 == 0) {
        region.every = std::min<std::uint16_t>(static_cast<std::uint16_t>(region.every * 2), max_every);
    }
    region.due = scan + region.every;
    if (look.accessed != 0 && look.accessed < pieces && count_ + 2 <= regions_.size())
        split(at, look, cooling);
    else
        region.heat = learnt(region.heat, look.accessed, pieces, cooling);
}

/// Cuts the first run of accessed pieces out. What lies behind it may be mixed, too: the next look tells.
void WatchRegions::split(std::size_t at, LookResult const& look, std::uint32_t cooling)
{
    std::uint16_t const before = regions_[at].heat;
    std::uint64_t const begin = look.first_run.begin.value, end = look.first_run.end();
    if (end < regions_[at].range.end()) {
        cut(at, end);
        std::uint64_t const run = (end - 1) / huge_page_bytes - begin / huge_page_bytes + 1;
        regions_[at + 1].heat = learnt(before, look.accessed - run, regions_[at + 1].granules(), cooling);
    }
    if (begin > regions_[at].range.begin.value) {
        cut(at, begin);
        regions_[at].heat = learnt(before, 0, 1, cooling);
        ++at;
    }
    regions_[at].heat = learnt(before, 1, 1, cooling);
}

/// Both parts are as the whole was. There is room for one more.
void WatchRegions::cut(std::size_t at, std::uint64_t gpa)
{
    auto const place = regions_.begin() + static_cast<std::ptrdiff_t>(at);
    auto const end = regions_.begin() + static_cast<std::ptrdiff_t>(count_);
    std::copy_backward(place, end, end + 1);
    ++count_;
    WatchRegion& low = regions_[at];
    WatchRegion& high = regions_[at + 1];
    high.range = {Gpa{gpa}, low.range.end() - gpa};
    low.range.bytes = gpa - low.range.begin.value;
}

/// Alike are those that differ by less than a tenth of the hottest, as DAMON has it.
void WatchRegions::merge()
{
    std::uint32_t hottest = 0;
    for (WatchRegion const& region : all())
        hottest = std::max<std::uint32_t>(hottest, region.heat);
    std::uint32_t threshold = hottest / 10;
    while (merge_below(threshold) > max_regions / 2 && threshold < full_heat)
        threshold = threshold * 2 + 1;
}

/// Weighted by size, so that a long quiet region does not take up the heat of a short one.
std::size_t WatchRegions::merge_below(std::uint32_t threshold)
{
    std::size_t kept = 0;
    for (std::size_t i = 1; i < count_; ++i) {
        WatchRegion& last = regions_[kept];
        WatchRegion const& next = regions_[i];
        std::uint32_t const difference = std::max(last.heat, next.heat) - std::min(last.heat, next.heat);
        if (!adjoin(last, next) || difference > threshold) {
            regions_[++kept] = next;
            continue;
        }
        std::uint64_t const a = last.granules(), b = next.granules();
        last.heat = static_cast<std::uint16_t>((last.heat * a + next.heat * b) / (a + b));
        last.range.bytes += next.range.bytes;
        last.every = std::min(last.every, next.every);
        last.due = std::min(last.due, next.due);
        last.quiet = std::min(last.quiet, next.quiet);
    }
    count_ = count_ == 0 ? 0 : kept + 1;
    return count_;
}

std::uint64_t WatchRegions::fine_granules() const
{
    std::uint64_t sum = 0;
    for (WatchRegion const& region : all())
        sum += region.fine ? region.granules() : 0;
    return sum;
}

/// Leaves so many pieces in the region; the rest becomes a region of its own. False: no room for that.
bool WatchRegions::cut_to(std::size_t at, std::uint64_t granules)
{
    if (regions_[at].granules() <= granules)
        return true;
    if (count_ == regions_.size())
        return false;
    cut(at, (regions_[at].range.begin.value / huge_page_bytes + granules) * huge_page_bytes);
    return true;
}

std::size_t WatchRegions::refine(std::uint64_t budget)
{
    std::uint64_t const used = fine_granules();
    std::size_t best = none;
    for (std::size_t i = 0; i < count_; ++i) {
        WatchRegion const& region = regions_[i];
        if (!region.fine && region.heat >= warm && (best == none || region.heat > regions_[best].heat))
            best = i;
    }
    if (best == none || used >= budget || !cut_to(best, budget - used))
        return none;
    regions_[best].fine = true;
    return best;
}

std::size_t WatchRegions::coarsen(std::uint64_t budget)
{
    std::uint64_t const used = fine_granules();
    std::size_t coldest = none;
    for (std::size_t i = 0; i < count_; ++i)
        if (regions_[i].fine && (coldest == none || regions_[i].heat < regions_[coldest].heat))
            coldest = i;
    if (coldest == none || (used <= budget && regions_[coldest].heat >= cold))
        return none;
    if (regions_[coldest].heat >= cold && !cut_to(coldest, used - budget))
        return none;
    regions_[coldest].fine = false;
    return coldest;
}

} // namespace undercroft::memory
