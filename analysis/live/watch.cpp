// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/live/watch.hpp"

#include <thread>

#include "analysis/live/tail.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"
#include "analysis/traces/boot_trace.hpp"

namespace undercroft::analysis {
namespace {

constexpr auto tick_interval = std::chrono::milliseconds{200};

/// From the tail to the guard.
class GuardSink final : public LiveSink {
public:
    GuardSink(Guard& guard, Guard::Say const& say) : guard_{guard}, say_{say} {}

    void record(LiveStream const& stream, RecordRow const& row) override
    {
        if (!is_note(row.kind))
            guard_.access({.machine = stream.machine, .boot = stream.boot, .source = row.source}, access_of(row));
    }
    void problem(std::string const& text) override { say_("error: " + text); }

private:
    Guard& guard_;
    Guard::Say const& say_;
};

GuardActions actions_of(WatchOptions const& options, Guard::Say const& say)
{
    GuardActions actions;
    if (Notifier const notifier{options.notify}; notifier.any())
        actions.notify = [notifier, say](nlohmann::json const& line) {
            for (std::string const& problem : notifier.send(line))
                say("error: " + problem);
        };
    ResponsePolicy const policy = response_policy_of(options.policy);
    if (policy != ResponsePolicy::none && options.control_socket.empty())
        throw Error{"the policy " + options.policy + " needs the collector's control socket"};
    if (policy != ResponsePolicy::none)
        actions.respond = [policy, socket = options.control_socket](DiskName const& disk) {
            return respond(policy, socket, disk);
        };
    return actions;
}

} // namespace

void WatchOptions::add_to(CLI::App& command, std::string const& prefix, std::string const& group)
{
    command.add_option(prefix + "quiet", quiet, "An alert has ended when nothing came for this long")
        ->capture_default_str()
        ->group(group);
    command.add_option(prefix + "context", context, "Live: how much of the time before the start is read as context")
        ->capture_default_str()
        ->group(group);
    command.add_option(prefix + "policy", policy, "What to do on an alert: none, hold-writes or memory-capture")
        ->check(CLI::IsMember({"none", "hold-writes", "memory-capture"}))
        ->capture_default_str()
        ->group(group);
    command.add_option(prefix + "syslog", notify.syslog, "Send alerts as CEF: udp:HOST:PORT or tcp:HOST:PORT")
        ->group(group);
    command.add_option(prefix + "webhook", notify.webhook, "Post alerts as JSON to this URL")->group(group);
    command
        .add_option(prefix + "webhook-header-file", notify.webhook_header_file,
                    "File with headers for it, one `Name: value` a line")
        ->group(group);
}

void check(WatchOptions const& options)
{
    static_cast<void>(ModelFile::load(options.model));
    static_cast<void>(parse_duration(options.quiet));
    static_cast<void>(parse_duration(options.context));
    static_cast<void>(actions_of(options, {}));
}

void watch(std::string const& store, std::string const& machine, WatchOptions const& options,
           std::atomic<bool> const& stop, Guard::Say const& say)
{
    ModelFile const models = ModelFile::load(options.model);
    std::int64_t const start_ns = utc_now_ns();
    GuardOptions guard_options{.store = store, .detector = {}, .live = true};
    guard_options.detector.quiet_ns = parse_duration(options.quiet);
    Guard guard{models, guard_options, actions_of(options, say), say};
    LiveTail tail{{.store = store, .from_ns = start_ns - parse_duration(options.context), .machine = machine}};
    GuardSink sink{guard, say};
    auto next_tick = std::chrono::steady_clock::now();
    while (true) {
        bool const last = stop.load(); // what was there when it was set is still read
        std::size_t const rows = tail.poll(sink);
        if (auto const now = std::chrono::steady_clock::now(); now >= next_tick) {
            guard.tick();
            next_tick = now + tick_interval;
        }
        if (rows == 0 && last)
            break;
        if (rows == 0)
            std::this_thread::sleep_for(LiveTail::pause);
    }
    guard.finish();
}

} // namespace undercroft::analysis
