// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "collector/log/log.hpp"

namespace undercroft::collector {

struct LogLine {
    std::chrono::system_clock::time_point time;
    spdlog::level::level_enum level{};
    std::string_view event; ///< empty: none
    std::string_view message;
    LogFields const* fields{}; ///< nullptr: none
    std::uint64_t repeated{};  ///< lines like this that were left out before it
};

/// One line, with its end. Whatever bytes the message holds, nothing in it begins another line.
[[nodiscard]] std::string format_line(LogFormat format, LogLine const& line);

} // namespace undercroft::collector
