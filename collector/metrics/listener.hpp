// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// GET /metrics, for Prometheus and nobody else: one request a connection, few connections, short patience.
#include <memory>
#include <stdexcept>
#include <string>

#include "collector/config/address.hpp"
#include "collector/metrics/exposition.hpp"

namespace undercroft::collector {

struct ListenerLimits {
    std::size_t connections = 16; ///< more are closed at once
    std::size_t request_bytes = 8192;
    double patience_s = 5; ///< for the whole request, and again for the whole answer
};

class ListenerError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class MetricsListener {
public:
    /// Answers from a thread of its own until it is destroyed. Throws ListenerError.
    MetricsListener(Address const& address, MetricsRegistry const& registry, ListenerLimits limits = {});
    ~MetricsListener();
    MetricsListener(MetricsListener const&) = delete;
    MetricsListener& operator=(MetricsListener const&) = delete;

    /// The one chosen by the system if the address had port 0.
    [[nodiscard]] std::uint16_t port() const;

private:
    struct Server;
    std::unique_ptr<Server> server_;
};

} // namespace undercroft::collector
