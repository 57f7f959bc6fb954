// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the collector tells people: a line per second, totals at the end, hints about senders that are refused.
#include <array>
#include <chrono>
#include <string>

#include "collector/ingest/counters.hpp"
#include "collector/receive/socket.hpp"
#include "collector/store/converter.hpp"

namespace undercroft::collector {

class HdfsUploader;

/// One line: rates since the last call, totals of gaps and rejects, segments waiting.
class ProgressLine {
public:
    [[nodiscard]] std::string make(CounterValues const& counters, std::size_t backlog, double seconds);

private:
    std::uint64_t records_ = 0;
    std::uint64_t bytes_ = 0;
};

/// Several lines for people; each reject that happened by name.
[[nodiscard]] std::string totals_text(CounterValues const& counters, StoreTotals const& totals);
/// Every counter by name, as JSON. `hdfs` may be null.
[[nodiscard]] std::string metrics_json(CounterValues const& counters, StoreTotals const& totals, std::size_t backlog,
                                       HdfsUploader const* hdfs);

/// Notices senders whose datagrams are refused again and again, in bounded memory.
class RefusedSenders {
public:
    /// A hint for the log, rarely; empty otherwise.
    [[nodiscard]] std::string note(Peer const& from, Counter why, std::chrono::steady_clock::time_point now);

private:
    struct Sender {
        Peer peer;
        Counter why{};
        std::uint64_t count = 0;
        std::chrono::steady_clock::time_point told;
    };
    std::array<Sender, 32> senders_{};
    std::size_t next_ = 0;
};

} // namespace undercroft::collector
