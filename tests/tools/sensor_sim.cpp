// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Makes records as the sensor would and delivers them with the sensor's own buffer and
// sender, through a UDP socket instead of lwIP and a card. Prints what it did as JSON.
// Record n is a write of 4,096 bytes at LBA 8 n; its content is n as 8 bytes, 512 times.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <vector>

#include "hypervisor/net/sender.hpp"

namespace {

using namespace undercroft;

std::uint64_t read_clock(clockid_t id)
{
    timespec time{};
    clock_gettime(id, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

struct HostClock final : core::Clock {
    std::uint64_t const utc_minus_tsc = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
    Tsc tsc() const override { return Tsc{read_clock(CLOCK_MONOTONIC)}; }
    std::uint64_t tsc_hz() const override { return 1'000'000'000; }
    UtcNs utc(Tsc at) const override { return UtcNs{at.value + utc_minus_tsc}; }
    bool synchronised() const override { return true; }
};

/// One connected socket; `loss` of the datagrams is dropped in either direction.
class SocketPort final : public net::DatagramPort {
public:
    SocketPort(std::string const& host, std::uint16_t port, std::uint16_t mtu, double loss)
        : out_(net::max_payload_bytes(mtu)), loss_{loss}
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
            throw std::runtime_error{"not an IPv4 address: " + host};
        socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (socket_ < 0 || ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
            throw std::runtime_error{"cannot open a socket to " + host};
    }
    ~SocketPort() { ::close(socket_); }
    SocketPort(SocketPort const&) = delete;
    SocketPort& operator=(SocketPort const&) = delete;

    void poll(Tsc) override {}
    bool ready() override { return true; }
    std::span<std::uint8_t> buffer() override { return out_; }
    bool send(std::size_t bytes) override
    {
        if (lost())
            return true;
        // ECONNREFUSED tells that the collector is away, which the sender must find out by itself.
        return ::send(socket_, out_.data(), bytes, 0) >= 0 || (errno != EAGAIN && errno != ENOBUFS);
    }
    void kick() override {}
    std::span<std::uint8_t> receive() override
    {
        for (;;) {
            ssize_t const bytes = ::recv(socket_, in_.data(), in_.size(), 0);
            if (bytes <= 0)
                return {};
            if (!lost())
                return std::span{in_}.first(static_cast<std::size_t>(bytes));
        }
    }

private:
    bool lost() { return std::uniform_real_distribution<>{0, 1}(random_) < loss_; }
    int socket_ = -1;
    std::vector<std::uint8_t> out_;
    std::array<std::uint8_t, 65536> in_{};
    double loss_;
    std::mt19937 random_{1};
};

template <std::size_t N>
std::array<std::uint8_t, N> from_hex(std::string const& text, char const* what)
{
    std::array<std::uint8_t, N> bytes{};
    if (text.size() != 2 * N || text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
        throw std::runtime_error{std::string{what} + ": " + std::to_string(2 * N) + " hexadecimal digits expected"};
    for (std::size_t i = 0; i < N; ++i)
        bytes[i] = static_cast<std::uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
    return bytes;
}

struct Settings {
    std::string host = "127.0.0.1", key, machine = "00112233445566778899aabbccddeeff", policy = "hold";
    std::uint16_t port = 4710, mtu = 1500;
    std::uint64_t records = 1000, rate = 0;
    std::uint32_t buffer_kib = 65536;
    bool content = true;
    double loss = 0, timeout_s = 60;
};

struct alignas(64) Line {
    std::byte bytes[64];
};

void make_record(observe::SlotBuffer& buffer, core::Clock const& clock, std::uint64_t n, bool content)
{
    wire::Record record{};
    record.time_utc_ns = clock.utc(clock.tsc()).value;
    record.address = n * 8;
    record.length = std::uint32_t{4096};
    record.kind = static_cast<std::uint8_t>(wire::Kind::storage_write);
    record.flags = static_cast<std::uint16_t>(wire::record_flag::first_of_request | wire::record_flag::last_of_request |
                                              (content ? wire::record_flag::has_content : 0));
    record.content_bytes = content ? 4096U : 0U;
    std::array<Le<std::uint64_t>, 512> block;
    block.fill(Le<std::uint64_t>{n});
    buffer.begin_request();
    (void)buffer.append(record, reinterpret_cast<std::byte const*>(block.data()));
    buffer.end_request();
}

void report(core::Counters const& counters, observe::SlotBuffer const& buffer, bool complete, double seconds)
{
    std::printf("{\"complete\": %s, \"seconds\": %.3f, \"slots_held\": %llu", complete ? "true" : "false", seconds,
                static_cast<unsigned long long>(buffer.closed_end() - buffer.oldest()));
#define X(id, name, text)                                                                                              \
    if (std::uint64_t const value = counters.get(wire::CounterId::name); value != 0)                                   \
        std::printf(", \"" #name "\": %llu", static_cast<unsigned long long>(value));
    UNDERCROFT_COUNTERS(X)
#undef X
    std::printf("}\n");
}

int run(Settings const& settings)
{
    HostClock clock;
    core::Counters counters;
    SocketPort port{settings.host, settings.port, settings.mtu, settings.loss};
    net::SenderOptions options{};
    options.machine_id = from_hex<16>(settings.machine, "--machine");
    options.key = from_hex<32>(settings.key, "--key");
    options.mtu = settings.mtu;
    std::random_device random;
    for (auto& byte : options.boot_id)
        byte = static_cast<std::uint8_t>(random());
    net::Sender sender{options, port, clock, counters};
    std::vector<Line> memory(std::size_t{settings.buffer_kib} * 16);
    observe::SlotBuffer buffer{std::as_writable_bytes(std::span{memory}),
                               {.policy = settings.policy == "hold" ? core::Policy::hold : core::Policy::drop,
                                .max_slot_bytes = net::max_slot_bytes(settings.mtu)},
                               clock,
                               counters,
                               &sender};
    if (!sender.add_stream(wire::Stream::storage, buffer))
        throw std::logic_error{"stream refused"};
    sender.set_hello({.sensor_version = "sensor_sim", .cpu_backend = "host", .policy = core::Policy::hold});
    Tsc const start = clock.tsc();
    for (std::uint64_t n = 0; n < settings.records; ++n) {
        make_record(buffer, clock, n, settings.content);
        do
            (void)sender.poll(clock.tsc());
        while (settings.rate != 0 && clock.tsc().value - start.value < n * 1'000'000'000 / settings.rate);
    }
    bool const complete = sender.drain(Tsc{clock.tsc().value + static_cast<std::uint64_t>(settings.timeout_s * 1e9)});
    report(counters, buffer, complete, static_cast<double>(clock.tsc().value - start.value) / 1e9);
    return complete ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"Delivers made-up records to a collector with the sensor's own code"};
    Settings settings;
    app.add_option("--host", settings.host, "collector's IPv4 address")->capture_default_str();
    app.add_option("--port", settings.port, "collector's UDP port")->capture_default_str();
    app.add_option("--key", settings.key, "pre-shared key, 64 hexadecimal digits")->required();
    app.add_option("--machine", settings.machine, "machine id, 32 hexadecimal digits")->capture_default_str();
    app.add_option("--records", settings.records, "how many records")->capture_default_str();
    app.add_option("--rate", settings.rate, "records per second, 0 = as fast as it goes")->capture_default_str();
    app.add_option("--content", settings.content, "4,096 bytes of content with each record")->capture_default_str();
    app.add_option("--buffer-kib", settings.buffer_kib)->check(CLI::Range(64, 4194304))->capture_default_str();
    app.add_option("--policy", settings.policy)->check(CLI::IsMember({"drop", "hold"}))->capture_default_str();
    app.add_option("--mtu", settings.mtu)->check(CLI::Range(576, 9000))->capture_default_str();
    app.add_option("--loss", settings.loss, "share of datagrams lost either way")->check(CLI::Range(0.0, 0.9));
    app.add_option("--timeout-s", settings.timeout_s, "how long to wait for the last acknowledgement");
    CLI11_PARSE(app, argc, argv);
    try {
        return run(settings);
    } catch (std::exception const& error) {
        std::fprintf(stderr, "sensor_sim: %s\n", error.what());
        return 2;
    }
}
