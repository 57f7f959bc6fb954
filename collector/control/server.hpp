// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The collector's end of the local control socket.
#include <filesystem>
#include <functional>
#include <thread>

#include "collector/control/protocol.hpp"

namespace undercroft::collector {

class ControlServer {
public:
    using Handler = std::function<ControlReply(ControlCall const&)>;

    /// Listens at `path` (a socket left there by a collector that is gone is replaced), permissions 0600. Calls are
    /// handled one after the other in a thread of its own. Throws std::runtime_error.
    ControlServer(std::filesystem::path path, Handler handler);
    ~ControlServer();
    ControlServer(ControlServer const&) = delete;
    ControlServer& operator=(ControlServer const&) = delete;

private:
    void listen();
    void serve();
    void serve_one(int connection);

    std::filesystem::path path_;
    Handler handler_;
    int listener_ = -1;
    int stop_event_ = -1;
    std::thread thread_;
};

} // namespace undercroft::collector
