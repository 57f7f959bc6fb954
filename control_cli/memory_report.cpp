// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "control_cli/memory_report.hpp"

#include <array>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "wire/memory_names.hpp"

namespace undercroft::control_cli {
namespace {

using Json = nlohmann::ordered_json;
using wire::MemoryAction;
using wire::MemoryMode;
using wire::MemoryRequest;
using wire::MemoryStatus;

/// What people read for a bit; JSON has the names of wire/memory_names.hpp.
struct BitText {
    std::uint16_t bit;
    char const* text;
};

constexpr std::array flag_texts{
    BitText{wire::memory_flag::huge_pages, "2 MiB pages"},
    BitText{wire::memory_flag::keep_entries, "entries kept"},
    BitText{wire::memory_flag::keep_tlb, "TLBs kept"},
    BitText{wire::memory_flag::only_touched, "touched pages only"},
    BitText{wire::memory_flag::consistent, "consistent"},
    BitText{wire::memory_flag::full_sweeps, "full sweeps"},
    BitText{wire::memory_flag::no_content, "without content"},
};
constexpr std::array lack_texts{
    BitText{wire::memory_lack::not_configured, "the monitor's tables: memory = off, or no room for them"},
    BitText{wire::memory_lack::no_access_bits, "nested accessed and dirty bits"},
    BitText{wire::memory_lack::no_page_log, "page-modification logging"},
    BitText{wire::memory_lack::no_execute_only, "execute-only pages: reads of code cannot be told from its execution"},
    BitText{wire::memory_lack::no_timer, "a timer of its own: periods follow the guest's exits and interrupts"},
};
static_assert(flag_texts.size() == wire::memory_flag_names.size() &&
              lack_texts.size() == wire::memory_lack_names.size());

std::string_view name_of_mode(MemoryStatus const& state)
{
    std::string_view const name = wire::name_of(static_cast<MemoryMode>(state.request.mode.get()));
    return name.empty() ? "unknown" : name;
}

bool runs(MemoryStatus const& state)
{
    return state.request.action.get() == static_cast<std::uint16_t>(MemoryAction::start);
}

std::string hex(std::uint64_t value)
{
    std::ostringstream text;
    text << "0x" << std::hex << value;
    return text.str();
}

std::string settings(MemoryRequest const& request)
{
    std::ostringstream text;
    auto const put = [&](bool there, auto const&... parts) {
        if (!there)
            return;
        text << (text.str().empty() ? "" : ", ");
        (text << ... << parts);
    };
    std::uint32_t const us = request.period_us.get();
    put(us != 0 && us % 1000 == 0, "every ", us / 1000, " ms");
    put(us % 1000 != 0, "every ", us, " us");
    put(request.every_turns.get() != 0, "every ", request.every_turns.get(), " exits");
    put(request.budget_permille.get() != 0, "budget ", request.budget_permille.get() / 10, '.',
        request.budget_permille.get() % 10, " %");
    put(request.rate_kib_per_s.get() != 0, request.rate_kib_per_s.get(), " KiB/s");
    put(request.delay_depth.get() != 0, "depth ", request.delay_depth.get());
    put(request.delay_ms.get() != 0, "delay ", request.delay_ms.get(), " ms");
    put(request.thin.get() > 1, "every ", request.thin.get(), "th write of a page");
    put(request.range_bytes.get() != 0, hex(request.range_begin.get()), '+', hex(request.range_bytes.get()));
    for (BitText const& flag : flag_texts)
        put((request.flags.get() & flag.bit) != 0, flag.text);
    return text.str();
}

Json names(std::uint16_t bits, auto const& all)
{
    Json list = Json::array();
    for (auto const& [bit, name] : all)
        if ((bits & bit) != 0)
            list.push_back(name);
    return list;
}

Json request_json(MemoryRequest const& request)
{
    Json json = {{"flags", names(request.flags.get(), wire::memory_flag_names)}};
    wire::visit_numbers(request, [&](char const* name, auto value) { json[name] = value; });
    return json;
}

} // namespace

std::string missing_text(std::vector<MemoryStatus> const& states)
{
    std::string text;
    for (BitText const& lack : lack_texts)
        if (!states.empty() && (states.front().missing.get() & lack.bit) != 0)
            text += std::string("missing: ") + lack.text + '\n';
    return text;
}

std::string memory_text(std::vector<MemoryStatus> const& states)
{
    std::ostringstream text;
    text << std::left << std::setw(10) << "mode" << std::setw(6) << "runs" << std::right << std::setw(12) << "records"
         << std::setw(10) << "dropped" << std::setw(12) << "faults" << std::setw(10) << "cycles" << std::setw(12)
         << "pages" << std::setw(8) << "held" << std::setw(18) << "TSC ticks taken" << '\n';
    for (MemoryStatus const& s : states)
        text << std::left << std::setw(10) << name_of_mode(s) << std::setw(6) << (runs(s) ? "yes" : "no") << std::right
             << std::setw(12) << s.records.get() << std::setw(10) << s.dropped.get() << std::setw(12) << s.faults.get()
             << std::setw(10) << s.cycles.get() << std::setw(12) << s.pages.get() << std::setw(8) << s.held.get()
             << std::setw(18) << s.ticks_in_sensor.get() << '\n';
    for (MemoryStatus const& s : states)
        if (runs(s))
            text << name_of_mode(s) << ": " << settings(s.request) << '\n';
    return text.str() + missing_text(states);
}

std::string memory_json(std::vector<MemoryStatus> const& states)
{
    Json modes = Json::object();
    for (MemoryStatus const& s : states)
        modes[name_of_mode(s)] = {{"running", runs(s)},
                                  {"request", request_json(s.request)},
                                  {"records", s.records.get()},
                                  {"dropped", s.dropped.get()},
                                  {"faults", s.faults.get()},
                                  {"cycles", s.cycles.get()},
                                  {"pages", s.pages.get()},
                                  {"held", s.held.get()},
                                  {"ticks_in_sensor", s.ticks_in_sensor.get()}};
    Json const json = {
        {"modes", modes},
        {"missing", names(states.empty() ? std::uint16_t{0} : states.front().missing.get(), wire::memory_lack_names)}};
    return json.dump() + '\n';
}

} // namespace undercroft::control_cli
