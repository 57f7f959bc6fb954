// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The UDP socket: many datagrams per call into buffers that are allocated once.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace undercroft::collector {

/// The socket could not be set up; the text says what to do.
class SocketError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Where a datagram came from.
struct Peer {
    sockaddr_in6 address{}; ///< large enough for IPv4 and IPv6
    socklen_t length{};
    [[nodiscard]] bool operator==(Peer const& other) const;
    [[nodiscard]] std::string text() const;
};

/// How a socket is set up.
struct SocketOptions {
    int receive_buffer_bytes = 32 << 20;
    bool share_port =
        false; ///< with other sockets of this process (SO_REUSEPORT); the kernel spreads senders over them
};

class Socket {
public:
    /// `listen` is ADDRESS:PORT ([ADDRESS]:PORT for IPv6). Throws SocketError.
    Socket(std::string const& listen, SocketOptions options);
    Socket(std::string const& listen, int receive_buffer_bytes)
        : Socket{listen, SocketOptions{.receive_buffer_bytes = receive_buffer_bytes}}
    {
    }
    ~Socket();
    Socket(Socket const&) = delete;
    Socket& operator=(Socket const&) = delete;

    struct Datagram {
        std::span<std::uint8_t> bytes;
        Peer const& from;
        bool truncated;
    };

    /// Takes what has arrived, without waiting; the number of datagrams, valid until the next call. Datagrams that
    /// the kernel had joined (UDP GRO) are cut apart again.
    [[nodiscard]] std::size_t receive();
    [[nodiscard]] Datagram datagram(std::size_t index);
    /// False: the kernel would not take it now. From any thread.
    [[nodiscard]] bool send(Peer const& to, std::span<std::uint8_t const> bytes) const;
    /// Datagrams the kernel dropped since the last call.
    [[nodiscard]] std::uint64_t take_kernel_dropped();

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::string local_address() const;
    /// What the kernel granted.
    [[nodiscard]] int receive_buffer_bytes() const;

private:
    struct Buffers;
    void bind_to(std::string const& listen, bool share_port);
    void cut(std::size_t message);

    int fd_ = -1;
    std::unique_ptr<Buffers> buffers_;
    std::uint32_t kernel_drops_seen_ = 0;
};

} // namespace undercroft::collector
