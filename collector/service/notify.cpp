// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/service/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace undercroft::collector {
namespace {

std::optional<std::uint64_t> number(char const* text)
{
    if (text == nullptr)
        return std::nullopt;
    std::string_view const digits{text};
    std::uint64_t value = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size())
        return std::nullopt;
    return value;
}

} // namespace

ServiceNotifier::ServiceNotifier()
{
    char const* const address = std::getenv("NOTIFY_SOCKET");
    if (address == nullptr || (address[0] != '/' && address[0] != '@') ||
        std::strlen(address) >= sizeof(sockaddr_un::sun_path))
        return;
    address_ = address;
    // An abstract address is written with @ and begins with a zero byte.
    if (address_.front() == '@')
        address_.front() = '\0';
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    auto const watchdog_us = number(std::getenv("WATCHDOG_USEC"));
    auto const pid = number(std::getenv("WATCHDOG_PID"));
    if (watchdog_us && *watchdog_us > 0 && (!pid || *pid == static_cast<std::uint64_t>(::getpid())))
        watchdog_interval_ = std::chrono::microseconds{*watchdog_us / 2};
}

ServiceNotifier::~ServiceNotifier()
{
    if (fd_ >= 0)
        ::close(fd_);
}

void ServiceNotifier::alive(Clock::time_point now)
{
    if (!watchdog_interval_ || now < next_)
        return;
    next_ = now + *watchdog_interval_;
    send("WATCHDOG=1");
}

void ServiceNotifier::send(std::string const& state) const
{
    if (fd_ < 0)
        return;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, address_.data(), address_.size());
    // If nobody takes it there is nobody to tell.
    static_cast<void>(::sendto(fd_, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr const*>(&to),
                               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size())));
}

} // namespace undercroft::collector
