// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The snapshots that the memory stream of a boot holds (docs/formats/record.md: memory_sweep_begin, _end).
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/memory/ram_map.hpp"

namespace undercroft::analysis {

/// One sweep over memory.
struct Sweep {
    std::uint64_t number{};         ///< as the sensor counts
    std::uint64_t begin_sequence{}; ///< of memory_sweep_begin
    std::uint64_t end_sequence{};   ///< of memory_sweep_end, or of the last record before something else ended it
    std::int64_t begin_ns{};
    std::int64_t end_ns{};
    bool incremental{};           ///< only pages written since the sweep before
    bool consistent{};            ///< every page as it was at begin_ns
    bool ended{};                 ///< its memory_sweep_end is in the store
    std::uint64_t pages{};        ///< records of kind memory_page in the store
    std::uint64_t stated_pages{}; ///< how many the sensor says there were
    std::uint64_t lost_records{}; ///< of any kind, inside gaps between begin and end
    std::size_t ram{};            ///< index into Sweeps::ram

    [[nodiscard]] bool complete() const { return ended && lost_records == 0 && pages == stated_pages; }
};

struct Sweeps {
    std::vector<Sweep> list; ///< in the order of time
    std::vector<RamMap> ram; ///< what the sweeps were to cover; one for each start of the mode
};

[[nodiscard]] Sweeps find_sweeps(Boot const& boot);

/// The sweep asked for (the last of that number; without a number the last complete one) with those before it that it
/// builds on, from the full one on, as [first, last] in the list. Throws Error that says which sweeps there are.
struct SweepChain {
    std::size_t first{};
    std::size_t last{};
};
[[nodiscard]] SweepChain choose_sweep(Sweeps const& sweeps, std::optional<std::uint64_t> number);

/// "sweep 3 (incremental, live)"
[[nodiscard]] std::string describe(Sweep const& sweep);

} // namespace undercroft::analysis
