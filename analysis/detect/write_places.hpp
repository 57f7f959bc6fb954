// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where was written lately, in bounded memory.
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

struct Place {
    std::uint64_t first_lba{};
    std::uint64_t end_lba{};
    std::uint64_t writes{};
    std::uint64_t bytes{};

    void add(Place const& other);
};

/// Writes less than 1 MiB apart are one place.
struct Places {
    std::vector<Place> largest; ///< at most 64, most bytes first
    std::uint64_t left_out{};   ///< how many more
    std::uint64_t bytes{};      ///< of all
};

class WritePlaces {
public:
    explicit WritePlaces(std::int64_t keep_ns) : keep_ns_{keep_ns} {}

    /// Accesses in time order; what is no write is passed over.
    void add(Access const& access);
    /// Of the seconds that touch [from, until]; at most `keep_ns` back.
    [[nodiscard]] Places between(std::int64_t from_ns, std::int64_t until_ns) const;

private:
    using Zones = std::map<std::uint64_t, Place>; ///< by LBA / 2048
    struct Second {
        std::int64_t number{};
        Zones zones;
        Place rest{}; ///< what found no room
    };

    std::int64_t keep_ns_;
    std::deque<Second> seconds_;
};

} // namespace undercroft::analysis
