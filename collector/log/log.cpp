// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/log/log.hpp"

#include <functional>
#include <mutex>

#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include "collector/log/format.hpp"
#include "collector/log/repeats.hpp"

namespace undercroft::collector {
namespace {

/// What log_event knows and spdlog has no place for; spdlog calls its sinks in the thread that logs.
struct Context {
    std::string_view event;
    LogFields const* fields = nullptr;
};
thread_local Context context;

class Sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit Sink(LogFormat format) : format_{format} {}

private:
    void sink_it_(spdlog::details::log_msg const& message) override
    {
        std::string_view const text{message.payload.data(), message.payload.size()};
        LogLine line{message.time, message.level, context.event, text, context.fields, 0};
        auto const repeated = repeats_.pass(hash(line), RepeatLimiter::Clock::now());
        if (!repeated)
            return;
        line.repeated = *repeated;
        write(format_line(format_, line));
    }

    /// A log that nobody reads any more is no reason to stop.
    static void write(std::string const& line) { static_cast<void>(::write(STDERR_FILENO, line.data(), line.size())); }

    void flush_() override {}

    static std::size_t hash(LogLine const& line)
    {
        std::string same{line.event.empty() ? line.message : line.event};
        if (line.fields != nullptr) {
            same += line.fields->machine ? to_hex(*line.fields->machine) : "-";
            same += line.fields->boot ? to_hex(*line.fields->boot) : "-";
            same += line.fields->stream + "-" + line.fields->peer + "-" + line.fields->file;
        }
        return std::hash<std::string>{}(same) ^ static_cast<std::size_t>(line.level);
    }

    LogFormat format_;
    RepeatLimiter repeats_;
};

} // namespace

void start_log(LogFormat format, spdlog::level::level_enum least)
{
    auto const logger = std::make_shared<spdlog::logger>("collect", std::make_shared<Sink>(format));
    logger->set_level(least);
    spdlog::set_default_logger(logger);
}

void log_event(spdlog::level::level_enum level, std::string_view event, std::string const& message,
               LogFields const& fields)
{
    context = {event, &fields};
    spdlog::log(level, "{}", message);
    context = {};
}

} // namespace undercroft::collector
