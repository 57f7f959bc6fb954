// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The threads that receive: each has a socket on the one port, its counters, and its lane into the intake.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "collector/intake.hpp"
#include "collector/receive/socket.hpp"

namespace undercroft::collector {

struct ReceiverOptions {
    std::string listen;
    int receive_buffer_bytes = 32 << 20;
    unsigned threads = 0; ///< 0: half of the processors, at least 2 if there are, at most 8
    std::chrono::milliseconds ack_interval{10};
};

/// An eventfd: any thread wakes one that polls.
class Event {
public:
    Event();
    ~Event();
    Event(Event const&) = delete;
    Event& operator=(Event const&) = delete;
    void set() const;
    void clear() const;
    [[nodiscard]] int fd() const { return fd_; }

private:
    int fd_;
};

class Receivers {
public:
    using Clock = std::chrono::steady_clock;

    /// Binds the sockets. Throws SocketError.
    explicit Receivers(ReceiverOptions options);
    ~Receivers();
    Receivers(Receivers const&) = delete;
    Receivers& operator=(Receivers const&) = delete;

    /// Receives until stop(); `work` is set when the store has something to commit.
    void start(Intake& intake, Store& store, Event const& work);
    /// Takes what has arrived, then ends the threads.
    void stop();

    /// For acknowledgements that no received datagram asks for.
    [[nodiscard]] Socket const& socket() const { return *sockets_.front(); }
    [[nodiscard]] std::string local_address() const { return sockets_.front()->local_address(); }
    [[nodiscard]] std::size_t threads() const { return sockets_.size(); }
    /// Sums over the threads.
    [[nodiscard]] CounterValues counters() const;
    /// When the last datagram was accepted; nothing if none was.
    [[nodiscard]] std::optional<Clock::time_point> last_traffic() const;

private:
    class Loop;

    ReceiverOptions options_;
    Event stop_;
    std::vector<std::unique_ptr<Socket>> sockets_;
    std::vector<std::unique_ptr<Counters>> counters_;
    std::atomic<Clock::rep> last_traffic_{0};
    std::vector<std::thread> threads_;
};

} // namespace undercroft::collector
