// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor's log: a ring in memory, read by `ucctl log` and the collector, and
// copied to the serial port when the configuration names one.
#include <cstdint>
#include <string_view>

namespace undercroft::core {

enum class LogLevel : std::uint8_t { error = 0, warning = 1, info = 2, debug = 3 };

/// Appends one line (no newline at its end). Safe on any CPU. Provided by
/// core/log.cpp in the sensor; tests link core/log_host.cpp, which writes to stderr.
void log_line(LogLevel level, std::string_view text);

/// One value in a log line: text, decimal or hexadecimal number.
struct LogValue {
    enum class Form : std::uint8_t { text, decimal, hex } form;
    std::string_view text;
    std::uint64_t number;
};
inline LogValue hex(std::uint64_t n)
{
    return {LogValue::Form::hex, {}, n};
}
inline LogValue dec(std::uint64_t n)
{
    return {LogValue::Form::decimal, {}, n};
}
inline LogValue str(std::string_view s)
{
    return {LogValue::Form::text, s, 0};
}

void log_values(LogLevel level, LogValue const* values, unsigned count);

/// log(LogLevel::info, str("port "), dec(3), str(" reset at "), hex(tsc));
template <typename... V>
void log(LogLevel level, V... values)
{
    LogValue const list[] = {values...};
    log_values(level, list, sizeof...(values));
}

} // namespace undercroft::core
