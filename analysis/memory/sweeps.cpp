// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/memory/sweeps.hpp"

#include <fmt/format.h>

#include "analysis/memory/request.hpp"
#include "analysis/read/error.hpp"
#include "wire/memory.hpp"

namespace undercroft::analysis {
namespace {

class Finder {
public:
    void visit(RecordRow const& row)
    {
        count_lost(row);
        switch (row.kind) {
        case RecordKind::memory_mode:
            take_mode(row);
            break;
        case RecordKind::memory_region:
            regions_.push_back(range_of(row));
            break;
        case RecordKind::memory_sweep_begin:
            begin(row);
            break;
        case RecordKind::memory_page:
            if (open_)
                ++sweeps_.list.back().pages;
            break;
        case RecordKind::memory_sweep_end:
            end(row);
            break;
        default:
            break;
        }
        if (open_) {
            sweeps_.list.back().end_sequence = row.sequence;
            sweeps_.list.back().end_ns = row.time_ns;
        }
        open_ = open_ && row.kind != RecordKind::memory_sweep_end;
    }

    Sweeps finish() { return std::move(sweeps_); }

private:
    void count_lost(RecordRow const& row)
    {
        std::uint64_t lost = row.sequence > expected_ ? row.sequence - expected_ : 0;
        std::uint64_t const used = row.kind == RecordKind::gap ? std::max<std::uint64_t>(row.length, 1) : 1;
        if (row.kind == RecordKind::gap)
            lost += used;
        expected_ = row.sequence + used;
        if (open_)
            sweeps_.list.back().lost_records += lost;
    }

    void take_mode(RecordRow const& row)
    {
        std::optional<ModeRequest> const request = parse_request(row.request);
        regions_.clear();
        if (!request || request->mode != "snapshot")
            return;
        open_ = false; // a stopped mode ends its sweep
        range_ = request->range();
        fresh_ = true;
    }

    void begin(RecordRow const& row)
    {
        if (fresh_ && !regions_.empty())
            sweeps_.ram.push_back(RamMap{regions_}.inside(range_));
        else if (sweeps_.ram.empty())
            sweeps_.ram.emplace_back(); // the mode's start is lost, and what is RAM with it
        fresh_ = false;
        sweeps_.list.push_back({.number = row.address,
                                .begin_sequence = row.sequence,
                                .begin_ns = row.time_ns,
                                .incremental = row.length != 0,
                                .consistent = row.source != 0,
                                .ram = sweeps_.ram.size() - 1});
        open_ = true;
    }

    void end(RecordRow const& row)
    {
        if (!open_ || sweeps_.list.back().number != row.address)
            return;
        sweeps_.list.back().ended = true;
        sweeps_.list.back().stated_pages = row.length;
    }

    Sweeps sweeps_;
    std::vector<AddressRange> regions_; ///< since the last memory_mode
    AddressRange range_{.first = 0, .end = ~std::uint64_t{0}};
    std::uint64_t expected_{};
    bool fresh_ = true; ///< the mode started since the last sweep
    bool open_{};
};

std::string list_of(Sweeps const& sweeps)
{
    std::string text;
    for (Sweep const& sweep : sweeps.list)
        text +=
            fmt::format("\n  {}: {} pages{}", describe(sweep), sweep.pages, sweep.complete() ? "" : ", not complete");
    return text;
}

} // namespace

Sweeps find_sweeps(Boot const& boot)
{
    Finder finder;
    Columns const columns{.address = true, .length = true, .source = true, .request = true};
    scan_records(boot.memory_files, columns, {}, [&](RecordRow const& row) {
        finder.visit(row);
        return Visit::next;
    });
    return finder.finish();
}

std::string describe(Sweep const& sweep)
{
    return fmt::format("sweep {} ({}, {})", sweep.number, sweep.incremental ? "incremental" : "full",
                       sweep.consistent ? "consistent" : "live");
}

SweepChain choose_sweep(Sweeps const& sweeps, std::optional<std::uint64_t> number)
{
    if (sweeps.list.empty())
        throw Error{"the boot has no snapshots of memory"};
    for (std::size_t last = sweeps.list.size(); last-- > 0;) {
        Sweep const& sweep = sweeps.list[last];
        if (number ? sweep.number != *number : !sweep.complete())
            continue;
        std::size_t first = last;
        while (sweeps.list[first].incremental && first > 0 && sweeps.list[first - 1].ram == sweep.ram)
            --first;
        return {.first = first, .last = last};
    }
    throw Error{fmt::format("{}; there are:{}",
                            number ? fmt::format("there is no sweep {}", *number) : "no sweep is complete",
                            list_of(sweeps))};
}

} // namespace undercroft::analysis
