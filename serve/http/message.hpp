// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A request and its reply as the rest of the server sees them: no socket, no library.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "serve/http/target.hpp"

namespace undercroft::serve {

enum class Method : std::uint8_t { get, head, post };

struct Request {
    Method method{};
    Target target;
    std::string host;
    std::string origin;        ///< empty: none
    std::string cookie;        ///< the header
    std::string authorization; ///< the header
    std::string content_type;
    std::string body{};
};

struct Reply {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body{};
    std::vector<std::pair<std::string, std::string>> headers{}; ///< beside those that every reply has
    /// Of a page: what it may load. Others get a policy that allows nothing.
    std::string content_security_policy{};
};

/// Called from several threads at once.
using Handler = std::function<Reply(Request const&)>;

/// {"error": "..."}
[[nodiscard]] Reply error_reply(unsigned status, std::string const& what);

} // namespace undercroft::serve
