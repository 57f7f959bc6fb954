// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <system_error>
#include <thread>

#include "collector/config/address.hpp"
#include "preflight/collector/facts.hpp"

namespace undercroft::preflight {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_{fd} {}
    ~Descriptor()
    {
        if (fd_ >= 0)
            ::close(fd_);
    }
    Descriptor(Descriptor const&) = delete;
    Descriptor& operator=(Descriptor const&) = delete;
    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_;
};

/// Why the address cannot be bound, or empty.
std::string try_address(std::string const& text, int type)
{
    auto const address = collector::parse_address(text);
    if (!address)
        return address.error();
    bool const ipv6 = address->host.contains(':');
    sockaddr_storage storage{};
    socklen_t length = sizeof(sockaddr_in);
    if (ipv6) {
        auto* const to = reinterpret_cast<sockaddr_in6*>(&storage);
        to->sin6_family = AF_INET6;
        to->sin6_port = htons(address->port);
        ::inet_pton(AF_INET6, address->host.c_str(), &to->sin6_addr);
        length = sizeof(sockaddr_in6);
    } else {
        auto* const to = reinterpret_cast<sockaddr_in*>(&storage);
        to->sin_family = AF_INET;
        to->sin_port = htons(address->port);
        ::inet_pton(AF_INET, address->host.c_str(), &to->sin_addr);
    }
    Descriptor const socket{::socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0)};
    if (type == SOCK_STREAM) {
        // As the collector does: connections of an earlier run that are still closing do not count.
        int const on = 1;
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    bool bound = ::bind(socket.get(), reinterpret_cast<sockaddr const*>(&storage), length) == 0;
    if (bound && type == SOCK_STREAM)
        bound = ::listen(socket.get(), 1) == 0;
    return bound ? "" : std::strerror(errno);
}

/// What the collector's own way of asking gets.
std::uint64_t granted_buffer(std::uint64_t wanted)
{
    Descriptor const socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    int value = static_cast<int>(wanted);
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) != 0)
        ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
    socklen_t length = sizeof(value);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &value, &length) != 0)
        return 0;
    // The kernel doubles it for its own overhead (socket(7)).
    return static_cast<std::uint64_t>(value) / 2;
}

void read_clock(CollectorFacts& facts)
{
    timex clock{};
    if (::adjtimex(&clock) < 0) {
        facts.unread.push_back({"whether the clock is synchronised", "timedatectl status"});
        return;
    }
    facts.clock_synchronised = (static_cast<unsigned>(clock.status) & STA_UNSYNC) == 0;
    facts.clock_error_ms = static_cast<double>(clock.maxerror) / 1000;
}

void read_key_file(CollectorFacts& facts, std::string const& file)
{
    if (file.empty())
        return;
    struct stat figures{};
    if (::stat(file.c_str(), &figures) != 0 || !std::ifstream{file}.is_open())
        facts.key_error = std::strerror(errno);
    else
        facts.key_readable_by_all = (figures.st_mode & S_IROTH) != 0;
}

/// As the collector opens datagrams: with OpenSSL, a new nonce each.
double measure_seal()
{
    struct Free {
        void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
    };
    std::unique_ptr<EVP_CIPHER_CTX, Free> const context{EVP_CIPHER_CTX_new()};
    std::array<unsigned char, 32> const key{1};
    std::array<unsigned char, 12> nonce{};
    std::array<unsigned char, 1400> datagram{};
    EVP_EncryptInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, key.data(), nonce.data());
    auto const start = Clock::now();
    std::uint64_t bytes = 0;
    while (Clock::now() - start < 300ms)
        for (int i = 0; i < 64; ++i) {
            int length = 0;
            ++nonce[0];
            EVP_EncryptInit_ex(context.get(), nullptr, nullptr, nullptr, nonce.data());
            EVP_EncryptUpdate(context.get(), datagram.data(), &length, datagram.data(), datagram.size());
            EVP_EncryptFinal_ex(context.get(), datagram.data(), &length);
            bytes += datagram.size();
        }
    return static_cast<double>(bytes) / 1e6 / std::chrono::duration<double>(Clock::now() - start).count();
}

} // namespace

CollectorFacts read_collector_facts(CollectorPlan const& plan)
{
    CollectorFacts facts;
    facts.listen_error = try_address(plan.listen, SOCK_DGRAM);
    if (!plan.metrics_listen.empty())
        facts.metrics_error = try_address(plan.metrics_listen, SOCK_STREAM);
    facts.granted_receive_buffer_bytes = granted_buffer(plan.receive_buffer_bytes);
    std::ifstream{"/proc/sys/net/core/rmem_max"} >> facts.rmem_max_bytes;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
        facts.open_files_limit = limit.rlim_max;
    try {
        facts.disk = measure_disk(plan.store);
    } catch (std::system_error const& error) {
        facts.disk_error = error.what();
    }
    read_key_file(facts, plan.key_file);
    read_clock(facts);
    facts.seal_mb_s = measure_seal();
    facts.cores = std::max(1U, std::thread::hardware_concurrency());
    return facts;
}

} // namespace undercroft::preflight
