// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

#include <spdlog/spdlog.h>

#include "analysis/live/commands.hpp"
#include "analysis/live/watch.hpp"

namespace undercroft::analysis {
namespace {

/// A thread that watches. Should it fail, the collector goes on: records are worth more than alerts.
class DetectionThread final : public collector::Companion {
public:
    DetectionThread(std::string store, WatchOptions options)
        : store_{std::move(store)}, options_{std::move(options)}, thread_{[this] { run(); }}
    {
    }
    ~DetectionThread() override
    {
        stop_ = true;
        thread_.join();
    }
    DetectionThread(DetectionThread const&) = delete;
    DetectionThread& operator=(DetectionThread const&) = delete;

private:
    void run()
    {
        try {
            watch(store_, "", options_, stop_, [](std::string const& line) { spdlog::warn("detection: {}", line); });
        } catch (std::exception const& error) {
            spdlog::error("detection has stopped: {}. Records are still stored", error.what());
        }
    }

    std::string store_;
    WatchOptions options_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

class DetectionMaker final : public collector::CompanionMaker {
public:
    void add_options(CLI::App& command) override
    {
        command
            .add_option("--detect,--detect-model", options_.model,
                        "look for ransomware in what comes, with this model (undercroft train)")
            ->type_name("FILE")
            ->group("detect");
        options_.add_to(command, "--detect-", "detect");
    }

    std::unique_ptr<collector::Companion> start(collector::CompanionPlace const& place) override
    {
        if (options_.model.empty())
            return nullptr;
        WatchOptions options = options_;
        options.control_socket = place.control_socket;
        check(options); // before anything is received
        return std::make_unique<DetectionThread>(place.store.string(), options);
    }

private:
    WatchOptions options_;
};

} // namespace

std::shared_ptr<collector::CompanionMaker> detection_beside_collect()
{
    return std::make_shared<DetectionMaker>();
}

} // namespace undercroft::analysis
