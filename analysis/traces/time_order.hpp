// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Accesses in the order of their times. Sequence numbers count completions, times are those of issue: a few records lie
// behind their neighbours, and a clock that is set back puts many there.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <vector>

#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

/// How far times lie behind an earlier row's at most.
struct TimeSurvey {
    std::int64_t latest_ns{std::numeric_limits<std::int64_t>::min()};
    std::int64_t disorder_ns{};

    void add(std::int64_t time_ns)
    {
        if (time_ns < latest_ns)
            disorder_ns = std::max(disorder_ns, latest_ns - time_ns);
        else
            latest_ns = time_ns;
    }
};

/// Hands accesses on, ordered by time, those of one time in the order they came. One that lies further behind than the
/// horizon comes late.
class TimeOrder {
public:
    using Sink = std::function<void(Access const&)>;

    TimeOrder(std::int64_t horizon_ns, Sink sink) : horizon_ns_{horizon_ns}, sink_{std::move(sink)} {}

    /// Throws Error when more than eight million accesses lie within the horizon.
    void push(Access const& access);
    /// No access to come is older than this.
    void settle(std::int64_t time_ns);
    /// Hands on what is left.
    void finish() { settle(std::numeric_limits<std::int64_t>::max()); }

private:
    struct Waiting {
        Access access;
        std::uint64_t arrival{};
        [[nodiscard]] bool operator>(Waiting const& other) const
        {
            return access.time_ns != other.access.time_ns ? access.time_ns > other.access.time_ns
                                                          : arrival > other.arrival;
        }
    };

    std::int64_t horizon_ns_;
    Sink sink_;
    std::int64_t latest_ns_ = std::numeric_limits<std::int64_t>::min();
    std::uint64_t arrivals_ = 0;
    std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> waiting_;
};

} // namespace undercroft::analysis
