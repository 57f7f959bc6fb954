// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft alerts list|ack.
#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/detect/alert_log.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

AlertLog open_log(std::string const& store)
{
    if (!is_store(store))
        throw Error{fmt::format("{} is not a store", store)};
    AlertLog log{store};
    log.refresh();
    return log;
}

struct ListCommand {
    std::string store;
    bool json = false;
    bool open = false;

    void run() const
    {
        for (Json const& line : open_log(store).all()) {
            Json const& about = line["undercroft"];
            if (open && about["state"] != "open")
                continue;
            if (json)
                fmt::print("{}\n", line.dump(-1, ' ', false, Json::error_handler_t::replace));
            else
                print(line, about);
        }
    }

private:
    static void print(Json const& line, Json const& about)
    {
        fmt::print("{}  {:<12}  {}  {}\n", about["id"].get<std::string>(), about["state"].get<std::string>(),
                   format_time(about["alert_ns"].get<std::int64_t>(), 1), line.value("message", ""));
        if (Json const& note = about.value("acknowledged", Json()); note.is_object())
            fmt::print("    acknowledged by {}{}{}\n", note.value("by", ""), note.value("note", "").empty() ? "" : ": ",
                       note.value("note", ""));
    }
};

struct AckCommand {
    std::string store;
    std::string id;
    std::string by;
    std::string note;

    void run() const
    {
        AlertLog log = open_log(store);
        std::vector<Json> found;
        for (Json const& line : log.all())
            if (line["undercroft"]["id"].get<std::string>().starts_with(id))
                found.push_back(line);
        if (found.size() != 1)
            throw Error{fmt::format("{} alerts have an id that begins with '{}'", found.size(), id)};
        log.append(acknowledged_line(found.front(), by, note, utc_now_ns()));
        fmt::print("{} acknowledged\n", found.front()["undercroft"]["id"].get<std::string>());
    }
};

} // namespace

void register_alerts(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("alerts", "Look at alerts and say that they were seen to");
    command->require_subcommand(1);
    CLI::App* const list = command->add_subcommand("list", "The latest state of each alert");
    auto const listing = std::make_shared<ListCommand>();
    list->add_option("STORE", listing->store, "Folder written by undercroft collect")->required();
    list->add_flag("--json", listing->json, "One line of JSON per alert");
    list->add_flag("--open", listing->open, "Only those that are open");
    on_run(*list, exit_code, [listing] { listing->run(); });
    CLI::App* const ack = command->add_subcommand("ack", "Acknowledge an alert");
    auto const acknowledging = std::make_shared<AckCommand>();
    ack->add_option("STORE", acknowledging->store, "Folder written by undercroft collect")->required();
    ack->add_option("ID", acknowledging->id, "The alert's id, or how it begins")->required();
    ack->add_option("--by", acknowledging->by, "Who");
    ack->add_option("--note", acknowledging->note, "What was found");
    on_run(*ack, exit_code, [acknowledging] { acknowledging->run(); });
}

} // namespace undercroft::analysis
