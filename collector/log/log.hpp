// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The collector's log: one line for each event, on stderr, in one of three forms. What is logged with spdlog directly
// comes out in the same form, without fields.
#include <optional>
#include <string>

#include <spdlog/spdlog.h>

#include "collector/ingest/identity.hpp"

namespace undercroft::collector {

enum class LogFormat : std::uint8_t {
    text,             ///< time, level, message; fields behind it
    json,             ///< one object a line
    journald_priority ///< "<4>" in front, no time: systemd's journal reads the priority and has its own clock
};

/// Whom or what an event is about.
struct LogFields {
    std::optional<Id> machine{};
    std::optional<Id> boot{};
    std::string stream{};
    std::string peer{};
    std::string file{};
};

/// Sets spdlog's default logger. Lines that say the same within ten seconds are counted instead of written, and the
/// number stands in the next line.
void start_log(LogFormat format, spdlog::level::level_enum least);

/// `event` is a short constant name to search for; events of one name and the same fields count as the same however
/// their messages differ.
void log_event(spdlog::level::level_enum level, std::string_view event, std::string const& message,
               LogFields const& fields = {});

} // namespace undercroft::collector
