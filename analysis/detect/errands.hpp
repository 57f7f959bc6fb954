// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What may take its time, done one after the other in a thread of its own.
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace undercroft::analysis {

class Errands {
public:
    /// Runs in the owner's thread, by collect().
    using Result = std::function<void()>;
    /// Runs in the other thread; must not throw. May give an empty result.
    using Errand = std::function<Result()>;

    Errands() = default;
    ~Errands();
    Errands(Errands const&) = delete;
    Errands& operator=(Errands const&) = delete;

    /// False: too many are waiting, this one is not done.
    [[nodiscard]] bool send(Errand errand);
    /// Runs the results that have come.
    void collect();
    /// Waits until all are done, then collects.
    void finish();

private:
    void work();

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable idle_;
    std::deque<Errand> waiting_;
    std::deque<Result> done_;
    bool busy_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace undercroft::analysis
