// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/receive/socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace undercroft::collector {
namespace {

constexpr std::size_t batch = 64;
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
    std::array<mmsghdr, batch> messages{};
    std::array<iovec, batch> vectors{};
    std::array<Peer, batch> peers{};
    std::array<std::array<std::uint8_t, CMSG_SPACE(sizeof(std::uint32_t))>, batch> control{};
    std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(batch * buffer_bytes);
};

Socket::Socket(std::string const& listen, int receive_buffer_bytes) : buffers_{std::make_unique<Buffers>()}
{
    bind_to(listen);
    // The forced form may exceed net.core.rmem_max but needs CAP_NET_ADMIN.
    if (::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes, sizeof(receive_buffer_bytes)) != 0)
        static_cast<void>(
            ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes)));
    int const on = 1;
    static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)));
}

Socket::~Socket()
{
    if (fd_ >= 0)
        ::close(fd_);
}

void Socket::bind_to(std::string const& listen)
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
    for (std::size_t i = 0; i < batch; ++i) {
        buffers_->vectors[i] = {buffers_->bytes.data() + i * buffer_bytes, buffer_bytes};
        msghdr& header = buffers_->messages[i].msg_hdr;
        header = {};
        header.msg_name = &buffers_->peers[i].address;
        header.msg_namelen = sizeof(buffers_->peers[i].address);
        header.msg_iov = &buffers_->vectors[i];
        header.msg_iovlen = 1;
        header.msg_control = buffers_->control[i].data();
        header.msg_controllen = buffers_->control[i].size();
    }
    int const count = ::recvmmsg(fd_, buffers_->messages.data(), batch, MSG_DONTWAIT, nullptr);
    if (count <= 0)
        return 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        buffers_->peers[i].length = buffers_->messages[i].msg_hdr.msg_namelen;
        note_kernel_drops(buffers_->messages[i].msg_hdr);
    }
    return static_cast<std::size_t>(count);
}

/// The kernel reports a running 32-bit total with each datagram.
void Socket::note_kernel_drops(msghdr& message)
{
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SO_RXQ_OVFL)
            continue;
        std::uint32_t total = 0;
        std::memcpy(&total, CMSG_DATA(control), sizeof(total));
        kernel_drops_new_ += static_cast<std::uint32_t>(total - kernel_drops_seen_);
        kernel_drops_seen_ = total;
    }
}

Socket::Datagram Socket::datagram(std::size_t index)
{
    mmsghdr const& message = buffers_->messages.at(index);
    bool const truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    return {{buffers_->bytes.data() + index * buffer_bytes, message.msg_len}, buffers_->peers[index], truncated};
}

bool Socket::send(Peer const& to, std::span<std::uint8_t const> bytes) const
{
    ssize_t const sent = ::sendto(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                  reinterpret_cast<sockaddr const*>(&to.address), to.length);
    return sent == static_cast<ssize_t>(bytes.size());
}

std::uint64_t Socket::take_kernel_dropped()
{
    return std::exchange(kernel_drops_new_, 0);
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
