// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/service/notify.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace undercroft::collector {
namespace {

using namespace std::chrono_literals;

/// The manager's end, at an address in the abstract name space.
struct Manager : testing::Test {
    std::string name = "undercroft-notify-test-" + std::to_string(::getpid());
    int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    Manager()
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path + 1, name.data(), name.size());
        auto const length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
        EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr const*>(&address), length), 0);
        ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
        ::unsetenv("WATCHDOG_USEC");
        ::unsetenv("WATCHDOG_PID");
    }
    ~Manager() override
    {
        ::close(fd);
        ::unsetenv("NOTIFY_SOCKET");
    }
    [[nodiscard]] std::string heard() const
    {
        std::array<char, 256> buffer{};
        auto const size = ::recv(fd, buffer.data(), buffer.size(), 0);
        return size < 0 ? "" : std::string{buffer.data(), static_cast<std::size_t>(size)};
    }
};

TEST_F(Manager, HearsReadyAndStopping)
{
    ServiceNotifier const notifier;
    notifier.ready("listening on 0.0.0.0:4710");
    EXPECT_EQ(heard(), "READY=1\nSTATUS=listening on 0.0.0.0:4710");
    notifier.stopping();
    EXPECT_EQ(heard().substr(0, 10), "STOPPING=1");
}

TEST_F(Manager, TheWatchdogIsToldAtHalfItsPatience)
{
    ::setenv("WATCHDOG_USEC", "10000000", 1);
    ServiceNotifier notifier;
    ServiceNotifier::Clock::time_point const start{1000s};
    notifier.alive(start);
    EXPECT_EQ(heard(), "WATCHDOG=1");
    notifier.alive(start + 4900ms);
    EXPECT_EQ(heard(), "");
    notifier.alive(start + 5s);
    EXPECT_EQ(heard(), "WATCHDOG=1");
}

TEST_F(Manager, AnotherProcessesWatchdogIsNotOurs)
{
    ::setenv("WATCHDOG_USEC", "10000000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    ServiceNotifier notifier;
    notifier.alive(ServiceNotifier::Clock::time_point{1000s});
    EXPECT_EQ(heard(), "");
}

TEST_F(Manager, WithoutOneNothingIsSent)
{
    ::unsetenv("NOTIFY_SOCKET");
    ServiceNotifier const notifier;
    notifier.ready("x");
    EXPECT_EQ(heard(), "");
    ::setenv("NOTIFY_SOCKET", std::string(200, '/').c_str(), 1);
    ServiceNotifier const long_name;
    long_name.ready("x");
    EXPECT_EQ(heard(), "");
}

} // namespace
} // namespace undercroft::collector
