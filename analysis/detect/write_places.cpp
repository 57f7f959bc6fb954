// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/write_places.hpp"

#include <algorithm>

namespace undercroft::analysis {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::uint64_t zone_sectors = 2048;
constexpr std::size_t most_zones_in_a_second = 4096;
constexpr std::size_t most_places = 64;

} // namespace

void Place::add(Place const& other)
{
    if (writes == 0) {
        *this = other;
        return;
    }
    first_lba = std::min(first_lba, other.first_lba);
    end_lba = std::max(end_lba, other.end_lba);
    writes += other.writes;
    bytes += other.bytes;
}

void WritePlaces::add(Access const& access)
{
    if (access.kind != TraceKind::write)
        return;
    std::int64_t const number = access.time_ns / second_ns;
    if (seconds_.empty() || seconds_.back().number < number)
        seconds_.push_back({.number = number, .zones = {}});
    while ((seconds_.back().number - seconds_.front().number) * second_ns > keep_ns_)
        seconds_.pop_front();
    Second& second = seconds_.back();
    std::uint64_t const sectors = (std::uint64_t{access.bytes} + 511) / 512;
    std::uint64_t const end = access.address > ~sectors ? ~std::uint64_t{0} : access.address + sectors;
    Place const place{.first_lba = access.address, .end_lba = end, .writes = 1, .bytes = access.bytes};
    std::uint64_t const zone = access.address / zone_sectors;
    if (second.zones.size() < most_zones_in_a_second || second.zones.contains(zone))
        second.zones[zone].add(place);
    else
        second.rest.add(place);
}

Places WritePlaces::between(std::int64_t from_ns, std::int64_t until_ns) const
{
    Zones all;
    Places result;
    for (Second const& second : seconds_) {
        if (second.number < from_ns / second_ns || second.number > until_ns / second_ns)
            continue;
        for (auto const& [zone, place] : second.zones)
            all[zone].add(place);
        result.left_out += second.rest.writes != 0 ? 1 : 0;
        result.bytes += second.rest.bytes;
    }
    for (auto const& [zone, place] : all) {
        result.bytes += place.bytes;
        if (!result.largest.empty() && place.first_lba < result.largest.back().end_lba + zone_sectors)
            result.largest.back().add(place);
        else
            result.largest.push_back(place);
    }
    std::ranges::sort(result.largest, [](Place const& a, Place const& b) {
        return a.bytes != b.bytes ? a.bytes > b.bytes : a.first_lba < b.first_lba;
    });
    if (result.largest.size() > most_places) {
        result.left_out += result.largest.size() - most_places;
        result.largest.resize(most_places);
    }
    return result;
}

} // namespace undercroft::analysis
