// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "control_cli/memory_options.hpp"
#include "control_cli/memory_report.hpp"
#include "hypervisor/control/tests/control_fixture.hpp"
#include "ucctl/client.hpp"
#include "ucctl/key_file.hpp"
#include "ucctl/report.hpp"

namespace undercroft::ucctl {
using namespace control_cli;
namespace {

/// A machine with the sensor's real server under it.
class SensorMachine final : public Machine {
public:
    SensorMachine() { server->set_up(control::fixture_identity(), target); }

    std::span<std::uint8_t> buffer() override { return memory.bytes; }
    bool hypercall() override
    {
        ++calls;
        if (mode == Mode::other_hypervisor)
            return true;
        auto const answer =
            server->handle(wire::control_hypercall, control::ProgramMemory::base, memory.bytes.size(), memory);
        if (mode == Mode::damaged)
            memory.bytes[70] ^= 1;
        refused += answer == control::Answer::done ? 0 : 1;
        return answer == control::Answer::done;
    }
    void fill_random(std::span<std::uint8_t> into) override
    {
        for (auto& byte : into)
            byte = static_cast<std::uint8_t>(next_random = next_random * 1103515245 + 12345) >> 1;
    }
    std::uint64_t utc_ns() override { return clock; }

    enum class Mode { normal, other_hypervisor, damaged } mode = Mode::normal;
    std::uint64_t clock = control::fixture_start_ns + 5'000'000'000;
    unsigned calls = 0, refused = 0;
    std::uint32_t next_random = 1;
    control::RememberingTarget target;
    control::ProgramMemory memory;
    std::unique_ptr<control::ControlServer> server = std::make_unique<control::ControlServer>();
};

class Ucctl : public testing::Test {
protected:
    SensorMachine machine_;
    Client client_{control::fixture_identity().control_key, machine_};
};

TEST_F(Ucctl, AllCommandsThroughTheServer)
{
    auto const hello = client_.hello();
    ASSERT_TRUE(hello) << hello.error().text;
    EXPECT_EQ(0xb0, hello->boot_id[0]);
    auto const status = client_.status();
    ASSERT_TRUE(status);
    EXPECT_EQ(12345U, status->records.get());
    auto const stopped = client_.set_capture(false);
    ASSERT_TRUE(stopped);
    EXPECT_EQ(0, stopped->capturing.get());
    EXPECT_FALSE(machine_.target.capturing);
    ASSERT_TRUE(client_.set_capture(true));
    EXPECT_TRUE(machine_.target.capturing);
    auto const counters = client_.counters();
    ASSERT_TRUE(counters);
    ASSERT_EQ(3U, counters->size());
    EXPECT_EQ(1032U, (*counters)[1].value.get());
    EXPECT_EQ(0U, machine_.refused);
}

TEST_F(Ucctl, MemoryRequestsGoThroughTheServer)
{
    wire::MemoryRequest request{};
    request.mode = std::uint16_t{2};
    request.action = std::uint16_t{1};
    request.delay_depth = std::uint16_t{9};
    auto const states = client_.memory(request);
    ASSERT_TRUE(states) << states.error().text;
    EXPECT_EQ(4U, states->size());
    ASSERT_EQ(1U, machine_.target.asked.size());
    EXPECT_EQ(9U, machine_.target.asked[0].delay_depth.get());
    machine_.target.memory_result = wire::ControlResult::busy;
    auto const busy = client_.memory(request);
    ASSERT_FALSE(busy);
    EXPECT_EQ(Failure::refused, busy.error().failure);
}

TEST(MemoryOptions, UnitsAndLimits)
{
    EXPECT_EQ(300'000U, parse_duration_us("300ms").value());
    EXPECT_EQ(2'000'000U, parse_duration_us("2s").value());
    EXPECT_EQ(120'000'000U, parse_duration_us("2min").value());
    for (char const* const bad : {"", "ms", "300", "0ms", "1.5s", "3h", "-1s", "99999999999999999999s"})
        EXPECT_FALSE(parse_duration_us(bad)) << bad;
    EXPECT_EQ(65536U, parse_bytes("64K").value());
    EXPECT_EQ(0x1000U, parse_bytes("0x1000").value());
    for (char const* const bad : {"", "K", "64k", "64KB", "0x", "18446744073709551615G"})
        EXPECT_FALSE(parse_bytes(bad)) << bad;
    EXPECT_EQ(50, parse_permille("5%").value());
    EXPECT_EQ(5, parse_permille("0.5%").value());
    EXPECT_EQ(1000, parse_permille("100%").value());
    for (char const* const bad : {"", "5", "0%", "101%", "100.1%", "0.05%", "5.%", "%"})
        EXPECT_FALSE(parse_permille(bad)) << bad;
}

TEST(MemoryOptions, BecomeARequest)
{
    MemoryArguments arguments{};
    arguments.mode = wire::MemoryMode::access;
    arguments.action = wire::MemoryAction::start;
    arguments.every = "250us";
    arguments.range = "0x100000+64M";
    arguments.only_touched = true;
    auto const request = memory_request(arguments);
    ASSERT_TRUE(request) << request.error();
    EXPECT_EQ(250U, request->period_us.get());
    EXPECT_EQ(0x100000U, request->range_begin.get());
    EXPECT_EQ(64U << 20, request->range_bytes.get());
    EXPECT_EQ(wire::memory_flag::only_touched, request->flags.get());
    for (char const* const bad : {"64M", "1+4096", "0x1000+100", "0+0", "0xfffffffffffff000+8K"}) {
        arguments.range = bad;
        EXPECT_FALSE(memory_request(arguments)) << bad;
    }
}

TEST(MemoryReport, ShowsWhatRunsAndWhatIsMissing)
{
    std::vector<wire::MemoryStatus> states(4);
    for (std::uint16_t i = 0; i < 4; ++i) {
        states[i].request.mode = static_cast<std::uint16_t>(i + 1);
        states[i].missing = wire::memory_lack::no_timer;
    }
    states[0].request.action = std::uint16_t{1};
    states[0].request.period_us = 300'000U;
    states[0].records = std::uint64_t{4711};
    std::string const text = memory_text(states);
    EXPECT_NE(std::string::npos, text.find("access: every 300 ms"));
    EXPECT_NE(std::string::npos, text.find("missing: a timer of its own"));
    auto const json = nlohmann::json::parse(memory_json(states));
    EXPECT_TRUE(json["modes"]["access"]["running"].get<bool>());
    EXPECT_FALSE(json["modes"]["watch"]["running"].get<bool>());
    EXPECT_EQ(4711, json["modes"]["access"]["records"].get<int>());
    EXPECT_EQ("no_timer", json["missing"][0].get<std::string>());
}

TEST_F(Ucctl, LogIsReadInPartsByCursor)
{
    for (int i = 0; i < 500; ++i)
        machine_.target.lines.push_back(std::to_string(i) + std::string(300, '.') + "\n");
    std::string all;
    std::uint64_t cursor = 0;
    unsigned parts = 0;
    for (;; ++parts) {
        auto const part = client_.log(cursor);
        ASSERT_TRUE(part);
        if (part->next == cursor)
            break;
        all += part->text;
        cursor = part->next;
    }
    EXPECT_EQ(500, std::count(all.begin(), all.end(), '\n'));
    EXPECT_GT(parts, 1U);
}

TEST_F(Ucctl, WrongKeyLooksLikeNoSensor)
{
    wire::Key other = control::fixture_identity().control_key;
    other[5] ^= 4;
    Client stranger{other, machine_};
    auto const status = stranger.status();
    ASSERT_FALSE(status);
    EXPECT_EQ(Failure::no_answer, status.error().failure);
    EXPECT_EQ("no sensor answered: not running here, or the key is wrong", status.error().text);
    EXPECT_EQ(2U, machine_.refused);
}

TEST_F(Ucctl, FirmwareClockAheadByATimeZoneIsOvercome)
{
    machine_.clock = control::fixture_start_ns - 9ULL * 3600 * 1'000'000'000;
    EXPECT_TRUE(client_.status());
    Client second_run{control::fixture_identity().control_key, machine_};
    machine_.clock += 1'000'000'000;
    EXPECT_TRUE(second_run.status());
}

TEST_F(Ucctl, AnotherHypervisorThatIgnoresTheCall)
{
    machine_.mode = SensorMachine::Mode::other_hypervisor;
    auto const status = client_.status();
    ASSERT_FALSE(status);
    EXPECT_EQ(Failure::no_answer, status.error().failure);
}

TEST_F(Ucctl, DamagedAnswersAreNotBelieved)
{
    machine_.mode = SensorMachine::Mode::damaged;
    auto const status = client_.status();
    ASSERT_FALSE(status);
    EXPECT_EQ(Failure::bad_answer, status.error().failure);
}

TEST_F(Ucctl, AnAnswerOfAnotherRequestIsNotBelieved)
{
    ASSERT_TRUE(client_.status());
    auto const old_answer = machine_.memory.bytes;
    ASSERT_TRUE(client_.status());
    struct Replayer final : Machine {
        std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(wire::max_control_buffer), answer;
        std::span<std::uint8_t> buffer() override { return memory; }
        bool hypercall() override
        {
            memory = answer;
            return true;
        }
        void fill_random(std::span<std::uint8_t> into) override { std::ranges::fill(into, std::uint8_t{9}); }
        std::uint64_t utc_ns() override { return control::fixture_start_ns + 6'000'000'000; }
    } replayer;
    replayer.answer = old_answer;
    Client fooled{control::fixture_identity().control_key, replayer};
    auto const status = fooled.status();
    ASSERT_FALSE(status);
    EXPECT_EQ(Failure::bad_answer, status.error().failure);
}

TEST(KeyFile, FormsAndErrors)
{
    std::string const digits = "000102030405060708090a0b0c0d0e0fF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF";
    for (std::string const& text : {digits, digits + "\n", "# the key\r\n\r\n  " + digits + "  # end\r\n",
                                    "machine_id = 12\nkey = 34\ncontrol_key = " + digits + "\nmtu = 1500\n"}) {
        auto const key = parse_key(text);
        ASSERT_TRUE(key) << key.error();
        EXPECT_EQ(0x0f, (*key)[15]);
        EXPECT_EQ(0xf0, (*key)[16]);
    }
    EXPECT_EQ("there is no key: expected 64 hex digits, or a line control_key = ...", parse_key("# nothing\n").error());
    EXPECT_EQ("the key has 2 characters instead of 64 hex digits", parse_key("ab").error());
    EXPECT_EQ("the key contains something other than hex digits", parse_key("x" + digits.substr(1)).error());
    std::string warning;
    EXPECT_EQ("cannot read the key file /nonexistent: No such file or directory",
              read_key_file("/nonexistent", warning).error());
}

TEST(Report, StatusForPeopleAndPrograms)
{
    wire::ControlStatus status{};
    status.time_utc_ns = std::uint64_t{1'700'000'000'000'042'000};
    status.uptime_ns = std::uint64_t{93'784'000'000'000};
    status.records = std::uint64_t{10};
    status.capturing = std::uint8_t{1};
    status.capture_mode = std::uint8_t{1};
    status.buffer_bytes = std::uint64_t{65536 * 1024};
    status.address[0] = 10;
    status.collector_port = std::uint16_t{4040};
    std::string const text = status_text(status);
    EXPECT_NE(std::string::npos, text.find("capture       on (mode content, policy drop)\n")) << text;
    EXPECT_NE(std::string::npos, text.find("1 d 2 h 3 min 4 s")) << text;
    EXPECT_NE(std::string::npos, text.find("2023-11-14T22:13:20.000042Z (not synchronised)")) << text;
    EXPECT_NE(std::string::npos, text.find("last acknowledgement never")) << text;
    auto const json = nlohmann::json::parse(status_json(status));
    EXPECT_EQ(true, json["capturing"]);
    EXPECT_EQ("content", json["mode"]);
    EXPECT_EQ("0.0.0.0:4040", json["collector"]);
    EXPECT_EQ(10, json["records"]);
}

TEST(Report, CountersHaveNames)
{
    std::vector<wire::Counter> list(3);
    list[0].id = std::uint16_t{32};
    list[0].value = std::uint64_t{7};
    list[1].id = std::uint16_t{44};
    list[1].index = std::uint16_t{3};
    list[2].id = std::uint16_t{60000};
    EXPECT_EQ("exits_total       7\ntsc_in_sensor[3]  0\ncounter_60000     0\n", counters_text(list));
    EXPECT_EQ(7, nlohmann::json::parse(counters_json(list))["exits_total"]);
    auto const log = nlohmann::json::parse(log_json({5, 2, "3 0.1 info: a\n4 0.1 info: \"b\"\n"}));
    EXPECT_EQ(2U, log["lines"].size());
    EXPECT_EQ("4 0.1 info: \"b\"", log["lines"][1]);
}

} // namespace
} // namespace undercroft::ucctl
