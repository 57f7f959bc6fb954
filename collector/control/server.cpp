// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/control/server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "collector/control/socket_address.hpp"

namespace undercroft::collector {
namespace {

constexpr int patience_ms = 2000; ///< for the call of a client that has connected

[[noreturn]] void fail(char const* what, std::filesystem::path const& path)
{
    throw std::runtime_error{fmt::format("control socket {}: {}: {}", path.string(), what, std::strerror(errno))};
}

/// Somebody answers there.
bool in_use(sockaddr_un const& address)
{
    int const probe = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool const answered =
        probe >= 0 && ::connect(probe, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) == 0;
    if (probe >= 0)
        ::close(probe);
    return answered;
}

} // namespace

ControlServer::ControlServer(std::filesystem::path path, Handler handler)
    : path_{std::move(path)}, handler_{std::move(handler)}
{
    stop_event_ = ::eventfd(0, EFD_CLOEXEC);
    listener_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    try {
        if (stop_event_ < 0 || listener_ < 0)
            fail("cannot be made", path_);
        listen();
    } catch (...) {
        ::close(listener_);
        ::close(stop_event_);
        throw;
    }
    thread_ = std::thread{[this] { serve(); }};
}

void ControlServer::listen()
{
    sockaddr_un const address = socket_address(path_);
    struct stat status{};
    if (::lstat(path_.c_str(), &status) == 0) {
        if (!S_ISSOCK(status.st_mode) || in_use(address)) {
            errno = EADDRINUSE;
            fail("is taken", path_);
        }
        ::unlink(path_.c_str());
    }
    // The permissions are there before the name is.
    if (::fchmod(listener_, 0600) != 0 ||
        ::bind(listener_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) != 0 ||
        ::chmod(path_.c_str(), 0600) != 0 || ::listen(listener_, 8) != 0)
        fail("cannot listen", path_);
}

ControlServer::~ControlServer()
{
    std::uint64_t const one = 1;
    static_cast<void>(::write(stop_event_, &one, sizeof(one)));
    thread_.join();
    ::unlink(path_.c_str());
    ::close(listener_);
    ::close(stop_event_);
}

void ControlServer::serve()
{
    for (;;) {
        pollfd descriptors[2] = {{stop_event_, POLLIN, 0}, {listener_, POLLIN, 0}};
        if (::poll(descriptors, 2, -1) < 0 && errno != EINTR)
            return;
        if ((descriptors[0].revents & POLLIN) != 0)
            return;
        if ((descriptors[1].revents & POLLIN) == 0)
            continue;
        int const connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0)
            continue;
        serve_one(connection);
        ::close(connection);
    }
}

void ControlServer::serve_one(int connection)
{
    pollfd descriptors[2] = {{stop_event_, POLLIN, 0}, {connection, POLLIN, 0}};
    if (::poll(descriptors, 2, patience_ms) <= 0 || (descriptors[0].revents & POLLIN) != 0)
        return;
    ControlCall call;
    ControlReply reply{};
    ssize_t const bytes = ::recv(connection, &call, sizeof(call), MSG_TRUNC | MSG_DONTWAIT);
    if (bytes == static_cast<ssize_t>(sizeof(call)) && call.magic.get() == control_call_magic)
        reply = handler_(call);
    else
        reply.outcome = static_cast<std::uint16_t>(CallOutcome::bad_call);
    static_cast<void>(::send(connection, &reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT));
}

} // namespace undercroft::collector
