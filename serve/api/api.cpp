// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/api/api.hpp"

#include <algorithm>
#include <chrono>
#include <map>

#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"
#include "serve/api/stream_facts.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

std::int64_t utc_now_ns()
{
    return std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count();
}

bool is_id(std::string const& text)
{
    return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

json read_object(std::filesystem::path const& file)
{
    try {
        json value = analysis::read_json(file);
        return value.is_object() ? value : json{};
    } catch (std::exception const&) { // a file that is being replaced, or not ours
        return {};
    }
}

json stream_state(StreamIndex const& stream)
{
    StreamView const view = stream.view();
    if (view.files.empty() && view.waiting_files == 0 && !view.tail)
        return nullptr;
    auto const notes = stream.notes();
    json changes = json::array();
    for (Change const& change : stream.changes())
        changes.push_back({change.revision, change.from_ns});
    json state{{"revision", view.revision},           {"changes", std::move(changes)}, {"files", view.files.size()},
               {"waiting_files", view.waiting_files}, {"rows", notes->rows},           {"gaps", notes->gaps.size()},
               {"live", view.tail != nullptr}};
    if (notes->rows != 0) {
        state["from_ns"] = notes->time.from_ns;
        state["to_ns"] = notes->time.to_ns;
    }
    std::uint64_t lost = 0;
    for (analysis::GapSpan const& gap : notes->gaps)
        lost += gap.lost;
    state["lost"] = lost;
    state["capture_off"] = !notes->off.empty() && notes->off.back().to_ns == std::numeric_limits<std::int64_t>::max();
    return state;
}

json collector_state(collector::CollectorSnapshot const& snapshot)
{
    json counters = json::object();
    for (std::size_t i = 0; i < collector::counter_count; ++i)
        counters[std::string{collector::counter_infos.at(i).name}] = {{"value", snapshot.counters.at(i)},
                                                                      {"reject", collector::counter_infos.at(i).reject},
                                                                      {"text", collector::counter_infos.at(i).text}};
    json sensors = json::array();
    for (collector::SensorFigures const& sensor : snapshot.sensors)
        sensors.push_back({{"machine", collector::to_hex(sensor.key.machine)},
                           {"boot", collector::to_hex(sensor.key.boot)},
                           {"last_heard_ns", sensor.last_heard_utc_ns},
                           {"next_sequence", sensor.next_sequence},
                           {"next_slot", sensor.next_slot},
                           {"durable_slot", sensor.durable_slot}});
    return {{"counters", std::move(counters)},
            {"sensors", std::move(sensors)},
            {"queues",
             {{"waiting_slot_bytes", snapshot.queues.waiting_slot_bytes},
              {"journal_pending_bytes", snapshot.queues.journal_pending_bytes},
              {"commit_lag_ns", snapshot.queues.commit_lag_ns},
              {"segments_waiting", snapshot.queues.segments_waiting},
              {"conversion_lag_ns", snapshot.queues.conversion_lag_ns}}}};
}

} // namespace

Reply json_reply(json const& body)
{
    return {.body = body.dump(-1, ' ', true, json::error_handler_t::replace)};
}

std::int64_t need(Target const& target, char const* name, std::int64_t least, std::int64_t most)
{
    auto const value = target.number(name, least, most);
    if (!value)
        throw BadRequest{std::string{name} + ": a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most) + " is wanted"};
    return *value;
}

std::optional<std::uint16_t> source_of(Target const& target)
{
    if (!target.parameters.contains("source"))
        return std::nullopt;
    return static_cast<std::uint16_t>(need(target, "source", 0, 0xFFFF));
}

analysis::StreamName stream_of(Target const& target)
{
    std::string const name = target.text("stream");
    if (name != "storage" && name != "memory")
        throw BadRequest{"stream: storage or memory is wanted"};
    return name == "memory" ? analysis::StreamName::memory : analysis::StreamName::storage;
}

std::shared_ptr<BootIndex> boot_of(StoreIndex const& index, Target const& target)
{
    BootName const name{.machine = target.text("machine"), .boot = target.text("boot")};
    if (!is_id(name.machine) || !is_id(name.boot))
        throw BadRequest{"machine and boot: 32 hexadecimal digits each are wanted"};
    auto boot = index.find(name);
    if (!boot)
        throw NotFound{"the store has no such recording"};
    return boot;
}

Api::Api(StoreIndex& index, ApiOptions options)
    : index_{index}, options_{std::move(options)}, tiles_{options_.tile_cache_bytes}, alerts_{index.store()}
{
}

Reply Api::operator()(Request const& request)
{
    Target const& target = request.target;
    try {
        if (request.method == Method::post) {
            if (target.path == "/api/control")
                return control(request);
            return error_reply(405, "only GET and HEAD");
        }
        using Call = std::function<Reply()>;
        std::map<std::string, Call> const calls{
            {"/api/state", [&] { return state(); }},           {"/api/stream", [&] { return stream(target); }},
            {"/api/tile", [&] { return tile(target); }},       {"/api/features", [&] { return features(target); }},
            {"/api/records", [&] { return records(target); }}, {"/api/alerts", [&] { return alerts(target); }},
            {"/api/scores", [&] { return scores(target); }},   {"/api/block", [&] { return block(target); }},
            {"/api/content", [&] { return content(target); }}, {"/api/pages", [&] { return pages(target); }}};
        auto const call = calls.find(target.path);
        return call == calls.end() ? error_reply(404, "there is nothing of that name") : call->second();
    } catch (BadRequest const& error) {
        return error_reply(400, error.what());
    } catch (NotFound const& error) {
        return error_reply(404, error.what());
    } catch (analysis::Error const& error) {
        // A file that compaction or retention has just removed: the next try sees the new ones.
        return error_reply(503, error.what());
    }
}

Reply Api::state() const
{
    json boots = json::array();
    for (auto const& boot : index_.boots())
        boots.push_back({{"machine", boot->boot.machine},
                         {"boot", boot->boot.id},
                         {"hello", read_object(boot->boot.folder / "hello.json")},
                         {"status", read_object(boot->boot.folder / "status.json")},
                         {"storage", stream_state(boot->storage)},
                         {"memory", stream_state(boot->memory)}});
    json body{{"version", UNDERCROFT_VERSION},
              {"now_ns", utc_now_ns()},
              {"store", index_.store().string()},
              {"boots", std::move(boots)},
              {"problems", index_.problems()},
              {"can_command", options_.link.command != nullptr},
              {"collector", nullptr}};
    if (options_.link.figures)
        body["collector"] = collector_state(options_.link.figures());
    return json_reply(body);
}

Reply Api::stream(Target const& target)
{
    auto const boot = boot_of(index_, target);
    return json_reply(stream_facts(index_.store(), *boot, stream_of(target), options_.layouts, facts_));
}

} // namespace undercroft::serve
