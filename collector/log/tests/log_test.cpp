// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/log/log.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "collector/log/format.hpp"
#include "collector/log/repeats.hpp"

namespace undercroft::collector {
namespace {

using namespace std::chrono_literals;

/// 2026-03-04 05:06:07.089 UTC, by `date -u -d @1772600767`.
constexpr std::chrono::system_clock::time_point moment{1772600767089ms};

LogFields some_fields()
{
    return {id_from_hex("00112233445566778899aabbccddeeff"), std::nullopt, "storage", "[::1]:5"};
}

TEST(LogFormat, Text)
{
    LogFields const fields = some_fields();
    EXPECT_EQ(format_line(LogFormat::text, {moment, spdlog::level::warn, "x", "two\nlines\x1b[2J", &fields, 3}),
              "2026-03-04T05:06:07.089Z warning two\\x0alines\\x1b[2J machine=00112233445566778899aabbccddeeff "
              "stream=storage peer=[::1]:5 (3 more like this were left out)\n");
}

TEST(LogFormat, Json)
{
    LogFields const fields = some_fields();
    EXPECT_EQ(format_line(LogFormat::json, {moment, spdlog::level::err, "store_error", "a \"b\"\n\xff", &fields, 0}),
              "{\"time\":\"2026-03-04T05:06:07.089Z\",\"level\":\"error\",\"event\":\"store_error\","
              "\"message\":\"a \\\"b\\\"\\n\xEF\xBF\xBD\",\"machine\":\"00112233445566778899aabbccddeeff\","
              "\"stream\":\"storage\",\"peer\":\"[::1]:5\"}\n");
}

TEST(LogFormat, JournaldPriority)
{
    EXPECT_EQ(format_line(LogFormat::journald_priority, {moment, spdlog::level::info, "", "hello", nullptr, 0}),
              "<6>hello\n");
    EXPECT_EQ(format_line(LogFormat::journald_priority, {moment, spdlog::level::err, "", "a\n<0>b", nullptr, 0}),
              "<3>a\\x0a<0>b\n");
}

TEST(Repeats, AreCountedAndToldLater)
{
    RepeatLimiter limiter;
    RepeatLimiter::Clock::time_point const start{1000s};
    EXPECT_EQ(limiter.pass(1, start), 0U);
    EXPECT_EQ(limiter.pass(1, start + 1s), std::nullopt);
    EXPECT_EQ(limiter.pass(2, start + 1s), 0U);
    EXPECT_EQ(limiter.pass(1, start + 9s), std::nullopt);
    EXPECT_EQ(limiter.pass(1, start + 10s), 2U);
    EXPECT_EQ(limiter.pass(1, start + 21s), 0U);
}

TEST(Repeats, ManyDifferentLinesPushOutTheOldest)
{
    RepeatLimiter limiter;
    RepeatLimiter::Clock::time_point const start{1000s};
    for (std::size_t i = 0; i < 1000; ++i)
        EXPECT_EQ(limiter.pass(i, start + i * 1ms), 0U);
    EXPECT_EQ(limiter.pass(999, start + 1s), std::nullopt);
    EXPECT_EQ(limiter.pass(0, start + 1s), 0U);
}

TEST(Log, GoesToStandardErrorWithFields)
{
    start_log(LogFormat::json, spdlog::level::info);
    testing::internal::CaptureStderr();
    log_event(spdlog::level::warn, "gap", "3 records are missing", some_fields());
    log_event(spdlog::level::warn, "gap", "4 records are missing", some_fields());
    log_event(spdlog::level::err, "segment_damaged", "a file", {.file = "7.journal"});
    log_event(spdlog::level::err, "segment_damaged", "another file", {.file = "8.journal"});
    spdlog::info("plain");
    spdlog::debug("not wanted");
    std::string const text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("\"message\":\"3 records are missing\",\"machine\":\"0011"), std::string::npos);
    EXPECT_EQ(text.find("4 records"), std::string::npos);
    EXPECT_NE(text.find("\"message\":\"plain\"}\n"), std::string::npos);
    EXPECT_NE(text.find("\"event\":\"segment_damaged\",\"message\":\"another file\",\"file\":\"8.journal\"}"),
              std::string::npos);
    EXPECT_EQ(std::ranges::count(text, '\n'), 4);
}

} // namespace
} // namespace undercroft::collector
