// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Who may come in. A stranger gets the form to sign in, and nothing else.
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "serve/http/message.hpp"

namespace undercroft::serve {

struct GateOptions {
    std::string token;              ///< at least least_token_bytes
    std::vector<std::string> hosts; ///< names (without port) that the Host header may have, beside loopback's
    bool secure_cookie = false;     ///< a reverse proxy speaks HTTPS to the browser
};

inline constexpr std::size_t least_token_bytes = 32;

/// 32 random bytes as hex. Throws std::runtime_error without randomness.
[[nodiscard]] std::string random_token();

/// Lets through whoever shows the token: in `Authorization: Bearer` (programs, reverse proxies that have asked for
/// another proof themselves) or, once, in the form, after which a cookie stands for it. Cookies live in memory: 12
/// hours, at most 256. Sign-in is tried at most ten times a second, whoever tries. A POST must come from a page of this
/// server.
class Gate {
public:
    Gate(GateOptions options, Handler inside);

    [[nodiscard]] Reply operator()(Request const& request);

private:
    using Clock = std::chrono::steady_clock;

    [[nodiscard]] bool host_allowed(std::string const& host) const;
    [[nodiscard]] bool same_origin(Request const& request) const;
    [[nodiscard]] bool is_known(Request const& request);
    [[nodiscard]] bool is_token(std::string_view text) const;
    [[nodiscard]] Reply sign_in(Request const& request);
    [[nodiscard]] Reply sign_out(Request const& request);
    [[nodiscard]] bool may_try();

    GateOptions options_;
    Handler inside_;
    std::mutex mutex_;
    std::map<std::string, Clock::time_point, std::less<>> cookies_; ///< until when
    Clock::time_point attempts_since_{};
    unsigned attempts_{};
};

} // namespace undercroft::serve
