// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What is durable but not in Parquet yet, handed to the streams of a StoreIndex within a tenth of a second.
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "analysis/live/tail.hpp"
#include "serve/index/store_index.hpp"

namespace undercroft::serve {

class LiveFeed : private analysis::LiveSink {
public:
    /// Follows the journal of `index`'s store from a thread of its own; `index` must outlive it.
    explicit LiveFeed(StoreIndex& index);
    ~LiveFeed() override;
    LiveFeed(LiveFeed const&) = delete;
    LiveFeed& operator=(LiveFeed const&) = delete;

private:
    struct Growing {
        BootName name;
        analysis::StreamName stream{};
        std::vector<std::shared_ptr<Rows const>> pieces; ///< closed
        Rows open;
        std::map<std::uint64_t, std::string> requests;
        std::size_t rows{}; ///< of all pieces and the open one
        bool grown{};
    };

    void record(analysis::LiveStream const& stream, analysis::RecordRow const& row) override;
    void problem(std::string const& text) override;
    void run(std::stop_token const& stop);
    void publish(Growing& growing);
    static void trim(Growing& growing, std::uint64_t end_sequence);

    StoreIndex& index_;
    std::map<analysis::LiveStream const*, Growing> streams_; ///< of the thread
    std::jthread thread_;
};

} // namespace undercroft::serve
