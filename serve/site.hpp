// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Everything together: a store's index, the page and its gate on a port.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/api.hpp"
#include "serve/http/gate.hpp"
#include "serve/http/server.hpp"
#include "serve/index/live_feed.hpp"
#include "serve/index/store_index.hpp"

namespace undercroft::serve {

struct SiteOptions {
    std::filesystem::path store;
    std::string listen = "127.0.0.1:8710";
    bool plain_http = false; ///< other addresses than loopback, though the token then crosses the network in clear
    std::string token_file;  ///< empty: a new token each time
    std::vector<std::string> host_names;
    bool secure_cookie = false;
    std::filesystem::path index_folder; ///< empty: STORE/page-index
    std::filesystem::path layouts;
    std::size_t row_cache_mib = 384;
    std::size_t tile_cache_mib = 64;
};

class Site {
public:
    /// Throws std::runtime_error that says what is wrong with the options or the address.
    Site(SiteOptions const& options, CollectorLink link);

    [[nodiscard]] std::string url() const;
    /// What to paste; nothing when it came from a file.
    [[nodiscard]] std::optional<std::string> new_token() const { return new_token_; }

private:
    std::optional<std::string> new_token_;
    StoreIndex index_;
    LiveFeed live_;
    Api api_;
    Gate gate_;
    std::string host_;
    HttpServer server_;
};

} // namespace undercroft::serve
