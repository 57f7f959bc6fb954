// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/time_order.hpp"

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t most_waiting = std::size_t{8} << 20;

} // namespace

void TimeOrder::push(Access const& access)
{
    if (horizon_ns_ == 0)
        return sink_(access);
    if (waiting_.size() >= most_waiting)
        throw Error{fmt::format("the times go back by {:.0f} s somewhere: too many accesses would have to be kept at "
                                "once to put them in order",
                                static_cast<double>(horizon_ns_) / 1e9)};
    waiting_.push({access, arrivals_++});
    if (access.time_ns > latest_ns_) {
        latest_ns_ = access.time_ns;
        settle(latest_ns_ - horizon_ns_);
    }
}

void TimeOrder::settle(std::int64_t time_ns)
{
    while (!waiting_.empty() && waiting_.top().access.time_ns <= time_ns) {
        sink_(waiting_.top().access);
        waiting_.pop();
    }
}

} // namespace undercroft::analysis
