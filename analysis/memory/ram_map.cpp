// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/memory/ram_map.hpp"

#include <algorithm>

namespace undercroft::analysis {

AddressRange range_of(RecordRow const& row)
{
    if (row.address > ~std::uint64_t{row.length})
        return {};
    return {.first = row.address, .end = row.address + row.length};
}

RamMap::RamMap(std::vector<AddressRange> ranges)
{
    std::ranges::sort(ranges, {}, &AddressRange::first);
    for (AddressRange const& range : ranges) {
        if (range.first >= range.end)
            continue;
        if (!regions_.empty() && range.first <= regions_.back().end)
            regions_.back().end = std::max(regions_.back().end, range.end);
        else
            regions_.push_back(range);
    }
    for (AddressRange& region : regions_) {
        std::uint64_t const more = (page_bytes - region.first % page_bytes) % page_bytes;
        region.end -= region.end % page_bytes;
        region.first = region.first > ~more ? region.end : std::min(region.first + more, region.end);
    }
    std::erase_if(regions_, [](AddressRange const& region) { return region.first >= region.end; });
    for (AddressRange const& region : regions_) {
        first_page_.push_back(pages_);
        pages_ += (region.end - region.first) / page_bytes;
    }
}

std::uint64_t RamMap::page_from(std::uint64_t address) const
{
    auto const region = std::ranges::upper_bound(regions_, address, {}, &AddressRange::end);
    if (region == regions_.end())
        return pages_;
    auto const index = static_cast<std::size_t>(region - regions_.begin());
    if (address <= region->first)
        return first_page_[index];
    std::uint64_t const page = (address - region->first + page_bytes - 1) / page_bytes;
    return first_page_[index] + page;
}

std::optional<std::uint64_t> RamMap::page_of(std::uint64_t address) const
{
    auto const region = std::ranges::upper_bound(regions_, address, {}, &AddressRange::end);
    if (region == regions_.end() || address < region->first)
        return std::nullopt;
    return first_page_[static_cast<std::size_t>(region - regions_.begin())] + (address - region->first) / page_bytes;
}

std::uint64_t RamMap::address_of(std::uint64_t page) const
{
    auto const behind = std::ranges::upper_bound(first_page_, page);
    auto const index = static_cast<std::size_t>(behind - first_page_.begin()) - 1;
    return regions_[index].first + (page - first_page_[index]) * page_bytes;
}

RamMap RamMap::inside(AddressRange range) const
{
    std::vector<AddressRange> parts;
    for (AddressRange const& region : regions_)
        parts.push_back({.first = std::max(region.first, range.first), .end = std::min(region.end, range.end)});
    return RamMap{std::move(parts)};
}

std::vector<std::uint64_t> RamMap::folds() const
{
    return {first_page_.begin() + (first_page_.empty() ? 0 : 1), first_page_.end()};
}

} // namespace undercroft::analysis
