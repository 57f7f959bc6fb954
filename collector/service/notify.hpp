// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a service manager wants to hear: the datagrams of sd_notify(3), without its library.
#include <chrono>
#include <optional>
#include <string>

namespace undercroft::collector {

class ServiceNotifier {
public:
    using Clock = std::chrono::steady_clock;

    /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; silent where they are not set.
    ServiceNotifier();
    ~ServiceNotifier();
    ServiceNotifier(ServiceNotifier const&) = delete;
    ServiceNotifier& operator=(ServiceNotifier const&) = delete;

    void ready(std::string const& status) const { send("READY=1\nSTATUS=" + status); }
    void stopping() const { send("STOPPING=1\nSTATUS=stopping: what is in the journal becomes Parquet"); }
    /// To be called from the loop that must not hang; tells the watchdog at half its patience.
    void alive(Clock::time_point now);

private:
    void send(std::string const& state) const;

    int fd_ = -1;
    std::string address_;
    std::optional<Clock::duration> watchdog_interval_;
    Clock::time_point next_{};
};

} // namespace undercroft::collector
