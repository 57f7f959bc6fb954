// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/errands.hpp"

#include <utility>

namespace undercroft::analysis {
namespace {

constexpr std::size_t most_waiting = 256;

} // namespace

Errands::~Errands()
{
    {
        std::lock_guard const guard{mutex_};
        stopping_ = true;
        waiting_.clear();
    }
    wake_.notify_all();
    if (thread_.joinable())
        thread_.join();
}

bool Errands::send(Errand errand)
{
    std::lock_guard const guard{mutex_};
    if (waiting_.size() >= most_waiting)
        return false;
    waiting_.push_back(std::move(errand));
    if (!thread_.joinable())
        thread_ = std::thread{[this] { work(); }};
    wake_.notify_one();
    return true;
}

void Errands::work()
{
    std::unique_lock lock{mutex_};
    while (true) {
        wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        if (stopping_)
            return;
        Errand const errand = std::move(waiting_.front());
        waiting_.pop_front();
        busy_ = true;
        lock.unlock();
        Result result = errand();
        lock.lock();
        busy_ = false;
        if (result)
            done_.push_back(std::move(result));
        idle_.notify_all();
    }
}

void Errands::collect()
{
    std::deque<Result> done;
    {
        std::lock_guard const guard{mutex_};
        done.swap(done_);
    }
    for (Result const& result : done)
        result();
}

void Errands::finish()
{
    {
        std::unique_lock lock{mutex_};
        idle_.wait(lock, [this] { return waiting_.empty() && !busy_; });
    }
    collect();
}

} // namespace undercroft::analysis
