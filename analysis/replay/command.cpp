// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/command.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"
#include "analysis/replay/replay.hpp"

namespace undercroft::analysis {
namespace {

struct ReplayCommand {
    StoreOptions store;
    SourceOption source;
    std::string base;
    std::string out;
    std::string until;
    std::optional<std::uint64_t> until_sequence;
    std::string trim = "keep";
    bool force{};
    bool json{};

    void add_to(CLI::App& command);
    void run() const;
};

void ReplayCommand::add_to(CLI::App& command)
{
    store.add_to(command);
    source.add_to(command);
    command.add_option("--base", base, "Raw image of the disk as it was when the sensor started; only read")
        ->required();
    command.add_option("--out", out, "Image to make; must not be there yet")->required();
    auto* const time = command.add_option("--until", until,
                                          "Stop before the first record later than this: 2026-11-22T05:47:03Z, "
                                          "+12.5s after the first record, or seconds since 1970");
    command.add_option("--until-seq", until_sequence, "Stop after this sequence number")->excludes(time);
    command.add_option("--trim", trim, "What trimmed sectors become: zero, or as they were")
        ->check(CLI::IsMember({"zero", "keep"}))
        ->capture_default_str();
    command.add_flag("--force", force, "Go on when records or content are missing");
    command.add_flag("--json", json, "Print the counts as JSON");
}

std::int64_t first_time(Boot const& boot)
{
    std::optional<std::int64_t> time;
    scan_records(boot, {}, {}, [&](RecordRow const& row) {
        time = row.time_ns;
        return Visit::stop;
    });
    if (!time)
        throw Error{fmt::format("{}: the boot has no records yet", boot.folder.string())};
    return *time;
}

nlohmann::json to_json(ReplayResult const& result)
{
    return {{"writes", result.writes},
            {"bytes", result.bytes},
            {"trims", result.trims},
            {"lost_records", result.lost_records},
            {"writes_without_content", result.writes_without_content},
            {"writes_beyond_image", result.writes_beyond_image},
            {"last_sequence", result.last_sequence ? nlohmann::json(*result.last_sequence) : nlohmann::json{}}};
}

void print(ReplayResult const& result, bool zero_trimmed)
{
    fmt::print("{} writes applied, {} bytes; {} trims {}\n", result.writes, result.bytes, result.trims,
               zero_trimmed ? "zeroed" : "left as they were");
    if (result.last_sequence)
        fmt::print("last record: seq {}\n", *result.last_sequence);
    if (result.lost_records + result.writes_without_content + result.writes_beyond_image != 0)
        fmt::print("forced: {} records lost, {} writes without content, {} writes beyond the image\n",
                   result.lost_records, result.writes_without_content, result.writes_beyond_image);
}

void ReplayCommand::run() const
{
    Boot const boot = store.select();
    ReplayRequest request{.base = base, .out = out};
    request.until_sequence = until_sequence;
    request.source = source.get();
    request.zero_trimmed = trim == "zero";
    request.force = force;
    if (!until.empty())
        request.until_ns = parse_time(until, first_time(boot));
    bool const terminal = ::isatty(STDERR_FILENO) != 0;
    ReplayResult const result = replay(store.store, boot, request, [&](std::uint64_t done, std::uint64_t total) {
        if (terminal)
            fmt::print(stderr, "\r{} of {} writes", done, total);
    });
    if (terminal)
        fmt::print(stderr, "\r\033[K");
    if (json)
        fmt::print("{}\n", to_json(result).dump(2));
    else
        print(result, request.zero_trimmed);
}

} // namespace

void register_replay(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("replay", "Apply captured writes to a copy of a disk image");
    auto const self = std::make_shared<ReplayCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
