// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where and when the memory monitor looked: from its own words (memory_armed, memory_disarmed, memory_scanned).
#include <array>
#include <cstdint>
#include <functional>
#include <map>

#include "analysis/memory/ram_map.hpp"

namespace undercroft::analysis {

/// What a record of an access tells, and what the monitor can look for.
enum class AccessKind : std::uint8_t { read, write, execute };
inline constexpr std::size_t access_kinds = 3;

/// Ranges of pages, each with the time since when it is so.
class RangeTimes {
public:
    using Visit = std::function<void(std::uint64_t first, std::uint64_t end, std::int64_t since_ns)>;

    /// Pages [first, end) get the time; those that have one keep it unless `replace`.
    void set(std::uint64_t first, std::uint64_t end, std::int64_t time_ns, bool replace);
    /// Tells the parts of [first, end) that have a time.
    void visit(std::uint64_t first, std::uint64_t end, Visit const& visit) const;
    void erase(std::uint64_t first, std::uint64_t end);

private:
    struct Part {
        std::uint64_t end{};
        std::int64_t since_ns{};
    };
    /// No part reaches across the page afterwards.
    void cut(std::uint64_t page);

    std::map<std::uint64_t, Part> parts_; ///< by first page; they do not overlap
};

/// Follows the rows of the memory stream and tells each stretch of time and pages that was looked at for accesses of a
/// kind, once it has ended.
class Coverage {
public:
    /// Pages are numbers in `ram`.
    using Looked = std::function<void(AccessKind, std::uint64_t first, std::uint64_t end, std::int64_t from_ns,
                                      std::int64_t to_ns)>;

    Coverage(RamMap const& ram, Looked looked) : ram_{ram}, looked_{std::move(looked)} {}

    void take(RecordRow const& row);
    /// Armed ranges are looked at up to here. Scanned ones end with their last scan.
    void finish(std::int64_t time_ns);

private:
    struct Mode {
        RangeTimes armed;
        RangeTimes scanned;
    };
    void arm(RecordRow const& row, std::uint64_t first, std::uint64_t end);
    void disarm(std::uint16_t mode, std::uint64_t first, std::uint64_t end, std::int64_t time_ns);
    void scan(RecordRow const& row, std::uint64_t first, std::uint64_t end);

    RamMap const& ram_;
    Looked looked_;
    std::map<std::uint16_t, Mode> modes_;
};

} // namespace undercroft::analysis
