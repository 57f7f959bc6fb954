// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// uc_udp_sink PORT SECONDS [gro]: a bare recvmmsg loop that throws the data away: the bound that the collector is
// measured against.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

int main(int argc, char** argv)
{
    if (argc < 3)
        return 1;
    int const fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
    int const buffer = 32 << 20;
    int const on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    if (argc > 3 && std::string_view{argv[3]} == "gro")
        ::setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
        return 1;
    constexpr std::size_t batch = 64;
    std::vector<std::uint8_t> bytes(batch * 65536);
    std::array<iovec, batch> vectors;
    std::array<mmsghdr, batch> messages{};
    for (std::size_t i = 0; i < batch; ++i) {
        vectors[i] = {bytes.data() + i * 65536, 65536};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    using Clock = std::chrono::steady_clock;
    Clock::time_point first{};
    Clock::time_point last{};
    auto const end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{std::atof(argv[2])});
    std::uint64_t received = 0;
    for (auto now = Clock::now(); now < end; now = Clock::now()) {
        pollfd descriptor{fd, POLLIN, 0};
        if (::poll(&descriptor, 1, 10) <= 0)
            continue;
        int const count = ::recvmmsg(fd, messages.data(), batch, MSG_DONTWAIT, nullptr);
        if (count <= 0)
            continue;
        last = Clock::now();
        if (received == 0)
            first = last;
        for (int i = 0; i < count; ++i)
            received += messages[static_cast<std::size_t>(i)].msg_len;
    }
    double const seconds = std::chrono::duration<double>(last - first).count();
    std::printf("{\"bytes\": %llu, \"seconds\": %.6f, \"megabytes_per_second\": %.3f}\n",
                static_cast<unsigned long long>(received), seconds,
                seconds > 0 ? static_cast<double>(received) / seconds / 1e6 : 0.0);
    return 0;
}
