// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/receive/socket.hpp"

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace undercroft::collector {
namespace {

constexpr std::size_t batch = 32;
constexpr std::size_t max_joined = 64;      ///< datagrams that the kernel joins into one message, at most
constexpr std::size_t buffer_bytes = 65536; ///< larger than any UDP payload

struct AddressList {
    addrinfo* first = nullptr;
    ~AddressList()
    {
        if (first != nullptr)
            ::freeaddrinfo(first);
    }
};

/// Splits at the last colon, so that [::]:4710 works.
void split(std::string const& listen, std::string& host, std::string& port)
{
    std::size_t const colon = listen.rfind(':');
    if (colon == std::string::npos || colon + 1 == listen.size())
        throw SocketError{"--listen " + listen + ": ADDRESS:PORT is wanted, for example 0.0.0.0:4710"};
    host = listen.substr(0, colon);
    port = listen.substr(colon + 1);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
}

std::string address_text(sockaddr const* address, socklen_t length)
{
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (::getnameinfo(address, length, host.data(), host.size(), port.data(), port.size(),
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return "an unknown address";
    return std::string{host.data()} + ":" + port.data();
}

} // namespace

bool Peer::operator==(Peer const& other) const
{
    return length == other.length && std::memcmp(&address, &other.address, length) == 0;
}

std::string Peer::text() const
{
    return address_text(reinterpret_cast<sockaddr const*>(&address), length);
}

struct Socket::Buffers {
    struct Piece {
        std::uint32_t message;
        std::uint32_t offset;
        std::uint32_t length;
    };
    std::array<mmsghdr, batch> messages{};
    std::array<iovec, batch> vectors{};
    std::array<Peer, batch> peers{};
    alignas(cmsghdr) std::array<std::array<std::uint8_t, CMSG_SPACE(sizeof(int))>, batch> control{};
    std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(batch * buffer_bytes);
    std::array<Piece, batch * max_joined> pieces{};
    std::size_t count = 0; ///< pieces in use

    Buffers()
    {
        for (std::size_t i = 0; i < batch; ++i) {
            vectors[i] = {bytes.data() + i * buffer_bytes, buffer_bytes};
            msghdr& header = messages[i].msg_hdr;
            header.msg_name = &peers[i].address;
            header.msg_iov = &vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = control[i].data();
        }
    }
};

Socket::Socket(std::string const& listen, SocketOptions options) : buffers_{std::make_unique<Buffers>()}
{
    bind_to(listen, options.share_port);
    int const bytes = options.receive_buffer_bytes;
    // The forced form may exceed net.core.rmem_max but needs CAP_NET_ADMIN.
    if (::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
        static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)));
    // An older kernel without it delivers every datagram by itself, as ever.
    int const on = 1;
    static_cast<void>(::setsockopt(fd_, SOL_UDP, UDP_GRO, &on, sizeof(on)));
}

Socket::~Socket()
{
    if (fd_ >= 0)
        ::close(fd_);
}

void Socket::bind_to(std::string const& listen, bool share_port)
{
    std::string host;
    std::string port;
    split(listen, host, port);
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    AddressList list;
    if (int const error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &list.first))
        throw SocketError{"--listen " + listen + ": " + ::gai_strerror(error) +
                          "; a numeric ADDRESS:PORT is wanted, for example 0.0.0.0:4710"};
    fd_ = ::socket(list.first->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0)
        throw SocketError{"cannot make a UDP socket: " + std::string{std::strerror(errno)}};
    int const on = 1;
    if (share_port && ::setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        throw SocketError{"cannot share a UDP port between sockets: " + std::string{std::strerror(errno)}};
    if (::bind(fd_, list.first->ai_addr, list.first->ai_addrlen) == 0)
        return;
    int const error = errno;
    std::string text = "cannot listen on " + listen + ": " + std::strerror(error);
    if (error == EADDRINUSE)
        text += "; another collector may be running (ss -ulpn shows which), or choose another port with --listen";
    else if (error == EADDRNOTAVAIL)
        text += "; this machine has no such address (ip addr lists them)";
    else if (error == EACCES)
        text += "; ports below 1024 need root";
    throw SocketError{text};
}

std::size_t Socket::receive()
{
    buffers_->count = 0;
    for (std::size_t i = 0; i < batch; ++i) {
        msghdr& header = buffers_->messages[i].msg_hdr;
        header.msg_namelen = sizeof(buffers_->peers[i].address);
        header.msg_controllen = buffers_->control[i].size();
    }
    int const count = ::recvmmsg(fd_, buffers_->messages.data(), batch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; ++i)
        cut(static_cast<std::size_t>(i));
    return buffers_->count;
}

/// All joined datagrams but the last are as long as the kernel says.
void Socket::cut(std::size_t message)
{
    msghdr& header = buffers_->messages[message].msg_hdr;
    buffers_->peers[message].length = header.msg_namelen;
    std::uint32_t const total = buffers_->messages[message].msg_len;
    std::uint32_t length = total;
    for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO)
            continue;
        int joined = 0;
        std::memcpy(&joined, CMSG_DATA(control), sizeof(joined));
        if (joined > 0)
            length = static_cast<std::uint32_t>(joined);
    }
    std::uint32_t offset = 0;
    do {
        std::uint32_t const piece = std::min(length, total - offset);
        buffers_->pieces[buffers_->count++] = {static_cast<std::uint32_t>(message), offset, piece};
        offset += piece;
    } while (offset < total && buffers_->count < buffers_->pieces.size());
}

Socket::Datagram Socket::datagram(std::size_t index)
{
    Buffers::Piece const& piece = buffers_->pieces.at(index);
    bool const truncated = (buffers_->messages[piece.message].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    return {{buffers_->bytes.data() + piece.message * buffer_bytes + piece.offset, piece.length},
            buffers_->peers[piece.message],
            truncated};
}

bool Socket::send(Peer const& to, std::span<std::uint8_t const> bytes) const
{
    ssize_t const sent = ::sendto(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                  reinterpret_cast<sockaddr const*>(&to.address), to.length);
    return sent == static_cast<ssize_t>(bytes.size());
}

std::uint64_t Socket::take_kernel_dropped()
{
    std::array<std::uint32_t, SK_MEMINFO_VARS> figures{};
    socklen_t length = sizeof(figures);
    if (::getsockopt(fd_, SOL_SOCKET, SO_MEMINFO, figures.data(), &length) != 0)
        return 0;
    // A running 32-bit total.
    std::uint32_t const total = figures[SK_MEMINFO_DROPS];
    return static_cast<std::uint32_t>(total - std::exchange(kernel_drops_seen_, total));
}

std::string Socket::local_address() const
{
    Peer local;
    local.length = sizeof(local.address);
    if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&local.address), &local.length) != 0)
        return "an unknown address";
    return local.text();
}

int Socket::receive_buffer_bytes() const
{
    int bytes = 0;
    socklen_t length = sizeof(bytes);
    static_cast<void>(::getsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, &length));
    return bytes;
}

} // namespace undercroft::collector
