// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Replies that were made once, the ones used last kept within a limit of memory.
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace undercroft::serve {

class TileCache {
public:
    explicit TileCache(std::size_t bytes) : limit_{bytes} {}

    [[nodiscard]] std::optional<std::string> find(std::string const& key)
    {
        std::scoped_lock const lock{mutex_};
        auto const found = places_.find(key);
        if (found == places_.end())
            return std::nullopt;
        items_.splice(items_.begin(), items_, found->second);
        return found->second->body;
    }

    void put(std::string const& key, std::string body)
    {
        std::scoped_lock const lock{mutex_};
        if (body.size() > limit_ || places_.contains(key))
            return;
        bytes_ += body.size();
        items_.push_front({.key = key, .body = std::move(body)});
        places_[key] = items_.begin();
        while (bytes_ > limit_) {
            bytes_ -= items_.back().body.size();
            places_.erase(items_.back().key);
            items_.pop_back();
        }
    }

private:
    struct Item {
        std::string key;
        std::string body;
    };
    std::size_t limit_;
    std::mutex mutex_;
    std::list<Item> items_; ///< the one used last in front
    std::map<std::string, std::list<Item>::iterator> places_;
    std::size_t bytes_{};
};

} // namespace undercroft::serve
