// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/control/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "collector/control/socket_address.hpp"

namespace undercroft::collector {
namespace {

constexpr int patience_ms = 15'000; ///< longer than the collector's own

class Connection {
public:
    explicit Connection(std::filesystem::path const& path)
    {
        sockaddr_un const address = socket_address(path);
        fd_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd_ >= 0 && ::connect(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) == 0)
            return;
        int const error = errno;
        ::close(fd_);
        throw std::runtime_error{fmt::format("no collector listens at {} ({}); start it with --control-socket",
                                             path.string(), std::strerror(error))};
    }
    ~Connection() { ::close(fd_); }
    Connection(Connection const&) = delete;
    Connection& operator=(Connection const&) = delete;

    [[nodiscard]] ControlReply ask(ControlCall const& call) const
    {
        ControlReply reply;
        pollfd descriptor{fd_, POLLIN, 0};
        if (::send(fd_, &call, sizeof(call), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(call)) ||
            ::poll(&descriptor, 1, patience_ms) <= 0 ||
            ::recv(fd_, &reply, sizeof(reply), 0) != static_cast<ssize_t>(sizeof(reply)))
            throw std::runtime_error{"the collector did not answer"};
        return reply;
    }

private:
    int fd_ = -1;
};

} // namespace

ControlReply ask_collector(std::filesystem::path const& socket, ControlCall const& call)
{
    return Connection{socket}.ask(call);
}

char const* text_of(CallOutcome outcome)
{
    switch (outcome) {
    case CallOutcome::machine_unknown:
        return "the collector has not heard this machine since it started";
    case CallOutcome::no_answer:
        return "the sensor did not answer: it is away, or older than commands of the collector";
    case CallOutcome::bad_call:
    case CallOutcome::answered:
        break;
    }
    return "the collector did not understand: is it of another version?";
}

char const* text_of(wire::ControlResult result)
{
    switch (result) {
    case wire::ControlResult::not_possible:
        return "the processor or the sensor's configuration lacks what this needs";
    case wire::ControlResult::busy:
        return "another memory mode that needs the same tables runs: stop it first";
    case wire::ControlResult::unknown_command:
        return "the sensor does not know this command";
    case wire::ControlResult::not_allowed:
        return "the sensor does not take this command from here";
    default:
        return "the sensor did not accept the request";
    }
}

std::vector<wire::MemoryStatus> states_of(ControlReply const& reply)
{
    std::size_t const count = std::min<std::size_t>(reply.states.get(), reply.state.size());
    return {reply.state.begin(), reply.state.begin() + static_cast<std::ptrdiff_t>(count)};
}

} // namespace undercroft::collector
