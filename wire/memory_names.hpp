// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What people and JSON call the memory monitor's modes, actions and bits (docs/formats/store.md). Names are permanent.
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "wire/memory.hpp"

namespace undercroft::wire {

/// Empty for a value that this version does not know.
[[nodiscard]] constexpr std::string_view name_of(MemoryMode mode)
{
    switch (mode) {
    case MemoryMode::none:
        return "none";
    case MemoryMode::access:
        return "access";
    case MemoryMode::written:
        return "written";
    case MemoryMode::snapshot:
        return "snapshot";
    case MemoryMode::watch:
        return "watch";
    }
    return {};
}

[[nodiscard]] constexpr std::string_view name_of(MemoryAction action)
{
    switch (action) {
    case MemoryAction::status:
        return "status";
    case MemoryAction::start:
        return "start";
    case MemoryAction::stop:
        return "stop";
    }
    return {};
}

using BitName = std::pair<std::uint16_t, std::string_view>;

inline constexpr std::array<BitName, 7> memory_flag_names{{{memory_flag::huge_pages, "huge_pages"},
                                                           {memory_flag::keep_entries, "keep_entries"},
                                                           {memory_flag::keep_tlb, "keep_tlb"},
                                                           {memory_flag::only_touched, "only_touched"},
                                                           {memory_flag::consistent, "consistent"},
                                                           {memory_flag::full_sweeps, "full_sweeps"},
                                                           {memory_flag::no_content, "no_content"}}};

inline constexpr std::array<BitName, 5> memory_lack_names{{{memory_lack::not_configured, "not_configured"},
                                                           {memory_lack::no_access_bits, "no_access_bits"},
                                                           {memory_lack::no_page_log, "no_page_log"},
                                                           {memory_lack::no_execute_only, "no_execute_only"},
                                                           {memory_lack::no_timer, "no_timer"}}};

/// Calls `visit` with the name and the value of each of a request's numbers: all but mode, action and flags.
template <typename Visit>
constexpr void visit_numbers(MemoryRequest const& request, Visit&& visit)
{
    visit("budget_permille", request.budget_permille.get());
    visit("period_us", request.period_us.get());
    visit("every_turns", request.every_turns.get());
    visit("range_begin", request.range_begin.get());
    visit("range_bytes", request.range_bytes.get());
    visit("rate_kib_per_s", request.rate_kib_per_s.get());
    visit("thin", request.thin.get());
    visit("delay_depth", request.delay_depth.get());
    visit("delay_ms", request.delay_ms.get());
}

} // namespace undercroft::wire
