// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/command.hpp"
#include "analysis/heatmap/ticks.hpp"
#include "analysis/info/memory_summary.hpp"
#include "analysis/info/summary.hpp"
#include "analysis/read/content.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

/// Texts from a sensor may hold anything; a terminal gets only what it can show.
std::string printable(std::string text)
{
    std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
    return text;
}

/// The value of `key` as text, or nothing.
std::string field(nlohmann::json const& object, char const* key)
{
    if (!object.is_object() || !object.contains(key))
        return {};
    nlohmann::json const& value = object[key];
    return printable(value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', true));
}

void print_hello(nlohmann::json const& hello)
{
    if (!hello.is_object())
        return;
    fmt::print("  sensor    {} ({}), capture {}, policy {}\n", field(hello, "sensor_version"),
               field(hello, "cpu_backend"), field(hello, "capture_mode"), field(hello, "policy"));
    for (nlohmann::json const& disk : hello.value("disks", nlohmann::json::array()))
        fmt::print("  disk      source {}: {} {}, {} sectors\n", field(disk, "source"), field(disk, "model"),
                   field(disk, "serial"), field(disk, "capacity_512"));
}

void print_counters(nlohmann::json const& status)
{
    if (!status.is_object() || !status.contains("counters") || !status["counters"].is_object())
        return;
    fmt::print("  counters of the sensor{}\n",
               status.contains("next_sequence") ? ", after " + field(status, "next_sequence") + " records" : "");
    for (auto const& [name, value] : status["counters"].items())
        fmt::print("    {:<36} {:>16}\n", printable(name), field(status["counters"], name.c_str()));
}

void print_boot(Boot const& boot, BootSummary const& summary, MemorySummary const& memory)
{
    fmt::print("machine {}\nboot    {}\n", boot.machine, boot.id);
    print_hello(read_json(boot.folder / "hello.json"));
    if (summary.first_ns)
        fmt::print("  time      {} to {} UTC ({})\n", format_time(*summary.first_ns, 3),
                   format_time(*summary.last_ns, 3), format_span(*summary.last_ns - *summary.first_ns));
    fmt::print("  files     {}{}\n", boot.files.size(),
               boot.unfinished_files == 0 ? "" : fmt::format(" (and {} unfinished, not read)", boot.unfinished_files));
    fmt::print("  records   {}\n", group_thousands(summary.records));
    for (std::size_t i = 0; i < summary.kinds.size(); ++i) {
        KindSummary const& kind = summary.kinds[i];
        fmt::print("    {:<8}{:>14} records {:>14} requests {:>20} bytes\n", to_string(static_cast<RecordKind>(i)),
                   group_thousands(kind.records), group_thousands(kind.requests), group_thousands(kind.bytes));
    }
    fmt::print("  content   of {} records\n", group_thousands(summary.content_records));
    fmt::print("  lost      {} in the sensor, {} between sensor and store, {} without a gap row (missing files)\n",
               group_thousands(summary.lost_in_sensor), group_thousands(summary.lost_in_transit),
               group_thousands(summary.unaccounted));
    if (summary.switched_off != 0)
        fmt::print("  capture   was switched off {} times, for {}{}\n", group_thousands(summary.switched_off),
                   format_span(summary.off_ns), summary.off_at_end ? ", and is off at the end" : "");
    fmt::print("{}", to_text(memory));
    print_counters(read_json(boot.folder / "status.json"));
}

void run(StoreOptions const& options, bool json)
{
    std::vector<Boot> const boots = list_boots(options.store, options.machine, options.boot);
    ContentStore const content{options.store};
    nlohmann::json list = nlohmann::json::array();
    for (Boot const& boot : boots) {
        BootSummary const summary = summarise(boot);
        MemorySummary const memory = summarise_memory(boot);
        if (json) {
            list.push_back(to_json(boot, summary));
            list.back()["memory"] = to_json(memory);
        } else {
            print_boot(boot, summary, memory);
        }
    }
    if (json)
        fmt::print("{}\n", nlohmann::json{{"boots", list}, {"content_blocks", content.blocks()}}.dump(2, ' ', true));
    else
        fmt::print("{} boots, {} distinct content blocks\n", boots.size(), group_thousands(content.blocks()));
}

} // namespace

void register_info(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("info", "Say what a store holds");
    auto const options = std::make_shared<StoreOptions>();
    auto const json = std::make_shared<bool>(false);
    options->add_to(*command);
    command->add_flag("--json", *json, "Print as JSON");
    on_run(*command, exit_code, [options, json] { run(*options, *json); });
}

} // namespace undercroft::analysis
