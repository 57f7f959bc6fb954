// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// HTTP/1.1 on Boost.Beast. Everything that arrives is hostile until the gate (gate.hpp) has let it through: sizes,
// times and connections are bounded here.
#include <memory>
#include <stdexcept>
#include <string>

#include "serve/http/message.hpp"

namespace undercroft::serve {

struct ServerLimits {
    std::size_t connections = 64; ///< more are closed at once
    std::size_t header_bytes = 8192;
    std::size_t body_bytes = 16384;
    double patience_s = 10; ///< for a request, once its first byte is there, and for an answer
    double idle_s = 60;     ///< between requests of one connection
    unsigned workers = 4;   ///< threads that handle requests; a command to a sensor may hold one for ten seconds
};

class ServerError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class HttpServer {
public:
    /// `host` is a numeric address. Answers from threads of its own until it is destroyed. Throws ServerError.
    HttpServer(std::string const& host, std::uint16_t port, Handler handler, ServerLimits limits = {});
    ~HttpServer();
    HttpServer(HttpServer const&) = delete;
    HttpServer& operator=(HttpServer const&) = delete;

    /// The one chosen by the system if it was 0.
    [[nodiscard]] std::uint16_t port() const;

private:
    struct Machinery;
    std::unique_ptr<Machinery> machinery_;
};

} // namespace undercroft::serve
