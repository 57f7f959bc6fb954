// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "collector/metrics/collector_metrics.hpp"
#include "collector/metrics/listener.hpp"

namespace undercroft::collector {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(Exposition, TheFormatsOwnExample)
{
    // Escapes as in "Text format details" of Prometheus' documentation.
    Exposition out;
    out.metric("msdos_file_access_time_seconds", MetricType::gauge, "a \\ b\nc \"d\"");
    out.sample(1.5, {{"path", "C:\\DIR\\FILE.TXT"}, {"error", "Cannot find file:\n\"FILE.TXT\""}});
    out.metric("plain_total", MetricType::counter, "plain");
    out.sample(std::uint64_t{18446744073709551615U});
    EXPECT_EQ(out.text(), "# HELP msdos_file_access_time_seconds a \\\\ b\\nc \"d\"\n"
                          "# TYPE msdos_file_access_time_seconds gauge\n"
                          "msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find "
                          "file:\\n\\\"FILE.TXT\\\"\"} 1.5\n"
                          "# HELP plain_total plain\n# TYPE plain_total counter\nplain_total 18446744073709551615\n");
}

struct Sensors : testing::Test {
    std::filesystem::path store = std::filesystem::path{testing::TempDir()} / "undercroft-metrics-store";
    CollectorSnapshot snapshot;

    Sensors() { std::filesystem::remove_all(store); }
    ~Sensors() override { std::filesystem::remove_all(store); }

    void add(std::uint8_t machine, std::uint8_t boot, std::uint64_t heard_ns, std::string const& status)
    {
        SensorFigures figures;
        figures.key.machine.fill(machine);
        figures.key.boot.fill(boot);
        figures.last_heard_utc_ns = heard_ns;
        figures.next_sequence = 90;
        snapshot.sensors.push_back(figures);
        auto const folder = store / ("machine=" + to_hex(figures.key.machine)) / ("boot=" + to_hex(figures.key.boot));
        std::filesystem::create_directories(folder);
        std::ofstream{folder / "status.json"} << status;
    }
    std::string text()
    {
        Exposition out;
        write_snapshot(out, snapshot);
        write_sensor_counters(out, snapshot, store);
        return out.text();
    }
};

TEST_F(Sensors, TheStartHeardLastCounts)
{
    add(0x11, 0xAA, 2'000'000'000, R"({"next_sequence": 100, "uptime_ns": 1500000000,
        "counters": {"records_dropped": 7, "cpus_controlled": 4}})");
    add(0x11, 0xBB, 1'000'000'000, R"({"next_sequence": 5, "counters": {"records_dropped": 99}})");
    std::string const all = text();
    std::string const label = "{machine=\"11111111111111111111111111111111\"} ";
    EXPECT_NE(all.find("\nundercroft_sensor_records_dropped_total" + label + "7\n"), std::string::npos);
    EXPECT_NE(all.find("\nundercroft_sensor_cpus_controlled" + label + "4\n"), std::string::npos);
    EXPECT_NE(all.find("\nundercroft_sensor_lag_records" + label + "10\n"), std::string::npos);
    EXPECT_NE(all.find("\nundercroft_sensor_uptime_seconds" + label + "1.5\n"), std::string::npos);
    EXPECT_EQ(all.find(" 99\n"), std::string::npos);
    EXPECT_NE(all.find("# HELP undercroft_sensor_records_dropped_total records dropped because the buffer was full"),
              std::string::npos);
}

TEST_F(Sensors, DamagedStatusFilesAreLeftOut)
{
    add(0x11, 0xAA, 1, "{\"counters\": {\"records_dropped\": 7");
    add(0x22, 0xAA, 1, R"({"counters": {"bad name": 1, "Ünsafe": 2, "text": "x", "negative": -1, "fine": 3}})");
    add(0x33, 0xAA, 1, R"([1, 2])");
    add(0x44, 0xAA, 1, R"({"counters": 5, "next_sequence": "x"})");
    std::string const all = text();
    EXPECT_EQ(all.find("bad name"), std::string::npos);
    EXPECT_EQ(all.find("nsafe"), std::string::npos);
    EXPECT_EQ(all.find("negative"), std::string::npos);
    EXPECT_NE(all.find("undercroft_sensor_fine_total{machine=\"22222222222222222222222222222222\"} 3\n"),
              std::string::npos);
}

class Client {
public:
    explicit Client(std::uint16_t port) : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        timeval const patience{.tv_sec = 5, .tv_usec = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        static_cast<void>(::connect(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)));
    }
    ~Client() { ::close(fd_); }
    Client(Client const&) = delete;
    Client& operator=(Client const&) = delete;

    void send(std::string const& text) const
    {
        std::size_t sent = 0;
        while (sent < text.size()) {
            auto const n = ::send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
            if (n <= 0)
                return;
            sent += static_cast<std::size_t>(n);
        }
    }
    /// Everything until the other side closes.
    [[nodiscard]] std::string receive() const
    {
        std::string out;
        std::array<char, 4096> buffer{};
        for (ssize_t n = 0; (n = ::recv(fd_, buffer.data(), buffer.size(), 0)) > 0;)
            out.append(buffer.data(), static_cast<std::size_t>(n));
        return out;
    }
    [[nodiscard]] std::string ask(std::string const& text) const
    {
        send(text);
        return receive();
    }

private:
    int fd_;
};

struct Listening : testing::Test {
    MetricsRegistry registry;
    std::optional<MetricsListener> listener;

    void start(ListenerLimits limits = {})
    {
        registry.add([](Exposition& out) {
            out.metric("a_total", MetricType::counter, "a");
            out.sample(std::uint64_t{5});
        });
        listener.emplace(Address{.host = "127.0.0.1", .port = 0, .loopback = true}, registry, limits);
    }
    [[nodiscard]] Client connect() const { return Client{listener->port()}; }
};

std::string const get = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_F(Listening, Answers)
{
    start();
    std::string const text = connect().ask(get);
    EXPECT_TRUE(text.starts_with("HTTP/1.1 200 OK\r\n")) << text;
    EXPECT_NE(text.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), std::string::npos);
    EXPECT_TRUE(text.ends_with("\r\n\r\n# HELP a_total a\n# TYPE a_total counter\na_total 5\n")) << text;
}

TEST_F(Listening, OnlyThisQuestion)
{
    start();
    EXPECT_TRUE(connect().ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404"));
    EXPECT_TRUE(connect().ask("DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 405"));
    EXPECT_TRUE(connect().ask("hello\r\n\r\n").starts_with("HTTP/1.1 400"));
    EXPECT_TRUE(connect().ask("GET /metrics HTTP/1.1\r\nX: " + std::string(20000, 'a')).starts_with("HTTP/1.1 400"));
    std::string const head = connect().ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 200"));
    EXPECT_TRUE(head.ends_with("\r\n\r\n"));
    EXPECT_TRUE(connect().ask(get).starts_with("HTTP/1.1 200"));
}

TEST_F(Listening, SlowOnesAreClosed)
{
    start({.patience_s = 0.2});
    Client const silent = connect();
    Client const slow = connect();
    slow.send("GET /metr");
    auto const begin = Clock::now();
    EXPECT_EQ(silent.receive(), "");
    EXPECT_EQ(slow.receive(), "");
    EXPECT_LT(Clock::now() - begin, 4s);
    EXPECT_TRUE(connect().ask(get).starts_with("HTTP/1.1 200"));
}

TEST_F(Listening, ManyAtOnceAreBounded)
{
    start({.connections = 2, .patience_s = 2});
    {
        Client const first = connect();
        Client const second = connect();
        first.send("GET ");
        second.send("GET ");
        std::this_thread::sleep_for(100ms);
        EXPECT_EQ(connect().ask(get), "");
    }
    std::this_thread::sleep_for(200ms);
    EXPECT_TRUE(connect().ask(get).starts_with("HTTP/1.1 200"));
}

TEST_F(Listening, AnAddressInUseIsSaid)
{
    start();
    EXPECT_THROW((MetricsListener{Address{.host = "127.0.0.1", .port = listener->port(), .loopback = true}, registry}),
                 ListenerError);
}

} // namespace
} // namespace undercroft::collector
