// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Detection beside a collector that stores: alerts in time, the same as those of the closed files afterwards.
#include "analysis/live/watch.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "analysis/detect/judge_store.hpp"
#include "analysis/live/respond.hpp"
#include "analysis/read/error.hpp"
#include "collector/control/server.hpp"
#include "collector/store/store.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"

/// Read by the leak sanitizer. fontconfig keeps what it has looked up for the pictures' text.
extern "C" char const* __lsan_default_suppressions()
{
    return "leak:libfontconfig";
}

namespace undercroft::analysis {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using collector::test::boot_a;

constexpr std::int64_t second = 1'000'000'000;

/// A model that calls it ransomware when more than half of the last two seconds' writes go to blocks that were read.
void write_model(fs::path const& file)
{
    ModelFile models;
    Model model;
    model.track = "reads+writes";
    model.kind = JudgeKind::logistic;
    model.trained_on = "nothing: made by hand";
    model.view.windows_ns = {2 * second};
    model.view.columns = {{find_feature("overwrite_after_read"), 0}};
    model.judge.logistic =
        Logistic::from_json(Json{{"mean", {0.5}}, {"scale", {1.0}}, {"coefficients", {20.0}}, {"intercept", -1.0}}, 1);
    model.judge.logistic_columns = {0};
    models.models.push_back(std::move(model));
    models.save(file);
}

/// One second of a disk: blocks are read and written, in place or somewhere else.
std::vector<std::uint8_t> one_second(std::int64_t begin_ns, std::uint64_t first_block, bool encrypts)
{
    std::vector<std::uint8_t> bytes;
    for (std::uint64_t i = 0; i < 40; ++i) {
        wire::Record record{};
        bool const write = i % 2 == 1;
        record.time_utc_ns = static_cast<std::uint64_t>(begin_ns) + i * 20'000'000;
        record.address = (first_block + i / 2) * 8 + (write && !encrypts ? 1U << 30 : 0);
        record.length = std::uint32_t{4096};
        record.kind = static_cast<std::uint8_t>(write ? wire::Kind::storage_write : wire::Kind::storage_read);
        record.source = std::uint16_t{1};
        record.entropy = static_cast<std::uint16_t>(write ? 65000 : 0);
        record.flags = static_cast<std::uint16_t>(3 | (write ? wire::record_flag::has_entropy : 0));
        auto const* const raw = reinterpret_cast<std::uint8_t const*>(&record);
        bytes.insert(bytes.end(), raw, raw + sizeof(record));
    }
    return bytes;
}

class Watch : public testing::Test {
protected:
    Watch() { write_model(model_); }

    void append(collector::Store& store, std::uint64_t slot, bool encrypts)
    {
        std::vector<std::uint8_t> const bytes =
            one_second(start_ns_ + static_cast<std::int64_t>(slot) * second, slot * 100, encrypts);
        ASSERT_TRUE(store.append(boot_a, {wire::Stream::storage, slot, slot * 40, 40, 77, bytes}));
        ASSERT_TRUE(store.commit());
    }

    [[nodiscard]] std::vector<Json> alerts() const
    {
        AlertLog log{store_};
        log.refresh();
        return log.all();
    }

    [[nodiscard]] std::vector<Json> scores() const
    {
        std::vector<Json> lines;
        if (fs::exists(store_ / "scores"))
            for (fs::directory_entry const& entry : fs::recursive_directory_iterator{store_ / "scores"})
                if (entry.is_regular_file()) {
                    std::ifstream in{entry.path()};
                    for (std::string line; std::getline(in, line);)
                        if (Json const json = Json::parse(line); json.contains("p"))
                            lines.push_back(json);
                }
        return lines;
    }

    collector::test::StoreFolder folder_;
    fs::path store_ = folder_.path() / "store";
    fs::path model_ = folder_.path() / "model.json";
    std::int64_t start_ns_ = utc_now_ns();
    std::vector<std::string> said_;
};

TEST_F(Watch, AlertsWithinASecondAndAsTheClosedFilesDo)
{
    WatchOptions options;
    options.model = model_.string();
    std::atomic<bool> stop{false};
    Clock::time_point told{};
    Clock::time_point complete{};
    {
        collector::Store store{{.folder = store_}};
        std::thread watching{[&] {
            watch(store_.string(), "", options, stop, [&](std::string const& line) {
                if (told == Clock::time_point{})
                    told = Clock::now();
                said_.push_back(line);
            });
        }};
        for (std::uint64_t slot = 0; slot < 20; ++slot)
            append(store, slot, slot >= 6);
        complete = Clock::now(); // the evidence has been there for a while
        for (int i = 0; i < 100 && alerts().empty(); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds{20});
        stop = true;
        watching.join();
        EXPECT_TRUE(store.close());
    }
    ASSERT_EQ(alerts().size(), 1) << ::testing::PrintToString(said_);
    EXPECT_LT(told, complete + std::chrono::seconds{1});
    Json const live = alerts().front();
    Json const& about = live["undercroft"];
    EXPECT_EQ(about["source"], 1);
    EXPECT_EQ(about["state"], "open");
    EXPECT_EQ(about["reasons"][0]["feature"], "overwrite_after_read");
    EXPECT_GE(about["extents"].size(), 1);
    std::int64_t const alert_ns = about["alert_ns"];
    EXPECT_GE(alert_ns, start_ns_ + 7 * second);
    EXPECT_LE(alert_ns, start_ns_ + 9 * second);
    for (auto const& [name, file] : about["pictures"].items())
        EXPECT_TRUE(fs::exists(store_ / "alerts" / file.get<std::string>())) << name;
    EXPECT_EQ(about["pictures"].size(), 3);

    // The closed files say the same: the same id, no second alert, the same scores.
    std::vector<Json> const live_scores = scores();
    EXPECT_GE(live_scores.size(), 18);
    ModelFile const models = ModelFile::load(model_);
    std::vector<Verdict> verdicts;
    judge_store(list_boots(store_, "", ""), models, {.store = store_, .detector = {}},
                [&](Verdict const& verdict) { verdicts.push_back(verdict); });
    ASSERT_EQ(verdicts.size(), 1);
    EXPECT_EQ(alerts().size(), 1);
    EXPECT_EQ(scores(), live_scores);
}

TEST_F(Watch, AcknowledgedAlertsStaySo)
{
    {
        collector::Store store{{.folder = store_}};
        for (std::uint64_t slot = 0; slot < 20; ++slot)
            append(store, slot, true);
        EXPECT_TRUE(store.close());
    }
    ModelFile const models = ModelFile::load(model_);
    auto const judge = [&] {
        judge_store(list_boots(store_, "", ""), models, {.store = store_, .detector = {}}, [](Verdict const&) {});
    };
    judge();
    AlertLog log{store_};
    log.refresh();
    ASSERT_EQ(log.all().size(), 1);
    log.append(acknowledged_line(log.all().front(), "somebody", "it was me", utc_now_ns()));
    judge();
    ASSERT_EQ(alerts().size(), 1);
    EXPECT_EQ(alerts().front()["undercroft"]["state"], "acknowledged");
    EXPECT_EQ(alerts().front()["undercroft"]["acknowledged"]["note"], "it was me");
}

TEST(Respond, AsksTheCollectorAndSaysHowItWent)
{
    collector::test::StoreFolder const folder;
    std::string const socket = (folder.path() / "control").string();
    DiskName const disk{.machine = "aa010000000000000000000000000000", .boot = "", .source = 1};
    EXPECT_NE(respond(ResponsePolicy::hold_writes, socket, disk)["result"].get<std::string>().find("no collector"),
              std::string::npos);
    std::vector<collector::ControlCall> calls;
    {
        collector::ControlServer const server{socket, [&](collector::ControlCall const& call) {
                                                  calls.push_back(call);
                                                  collector::ControlReply reply{};
                                                  reply.result = static_cast<std::uint16_t>(calls.size() == 1 ? 0 : 4);
                                                  return reply;
                                              }};
        Json const held = respond(ResponsePolicy::hold_writes, socket, disk);
        EXPECT_EQ(held["policy"], "hold-writes");
        EXPECT_EQ(held["result"], "done");
        EXPECT_EQ(respond(ResponsePolicy::memory_capture, socket, disk)["result"], "not possible on this machine");
    }
    ASSERT_EQ(calls.size(), 2);
    EXPECT_EQ(calls[0].command.get(), 8);
    EXPECT_EQ(calls[0].machine[0], 0xAA);
    EXPECT_EQ(calls[1].command.get(), 7);
    EXPECT_EQ(calls[1].memory.mode.get(), static_cast<std::uint16_t>(wire::MemoryMode::snapshot));
    EXPECT_THROW((void)response_policy_of("reboot"), Error);
}

} // namespace
} // namespace undercroft::analysis
