// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the page must know of a stream before it draws: gaps, switched-off times, how far addresses reach, partitions.
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include <nlohmann/json.hpp>

#include "serve/index/store_index.hpp"

namespace undercroft::serve {

/// What needs records to be read again only when a file is new: the densest span of a disk, its partitions.
class FactsCache {
public:
    /// `make` is called when there is nothing of this version yet.
    template <typename Make>
    nlohmann::json get(std::string const& key, std::uint64_t version, Make make)
    {
        {
            std::scoped_lock const lock{mutex_};
            auto const found = known_.find(key);
            if (found != known_.end() && found->second.first == version)
                return found->second.second;
        }
        nlohmann::json made = make();
        std::scoped_lock const lock{mutex_};
        if (known_.size() > most)
            known_.clear();
        known_[key] = {version, made};
        return made;
    }

private:
    static constexpr std::size_t most = 1024;
    std::mutex mutex_;
    std::map<std::string, std::pair<std::uint64_t, nlohmann::json>> known_;
};

[[nodiscard]] nlohmann::json stream_facts(std::filesystem::path const& store, BootIndex const& boot,
                                          analysis::StreamName stream, std::filesystem::path const& layouts,
                                          FactsCache& cache);

} // namespace undercroft::serve
