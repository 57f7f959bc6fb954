// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What others are told of an alert: text worked out by hand, received over real sockets.
#include "analysis/detect/notify.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <thread>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

Json alert()
{
    return {{"@timestamp", "2026-11-22T05:47:03.250Z"},
            {"event", {{"action", "raised"}}},
            {"message", "a=b\\c\nd"},
            {"undercroft",
             {{"id", "0011223344556677"},
              {"machine", "aa010000000000000000000000000000"},
              {"boot", "b0070000000000000000000000000000"},
              {"source", 1},
              {"first_evidence_ns", 1'000'000'000},
              {"alert_ns", 3'000'000'000},
              {"until_ns", 4'000'000'000},
              {"highest_probability", 0.987},
              {"bytes_written", 4096},
              {"reasons", {{{"feature", "rewrites"}, {"window_s", 10.0}, {"value", 0.5}, {"log_odds", 1.0}}}}}}};
}

TEST(Cef, IsEscapedAsItsRulesSay)
{
    std::string const text = cef_of(alert());
    EXPECT_TRUE(text.starts_with("CEF:0|Undercroft|Undercroft|")) << text;
    EXPECT_NE(text.find("|T1486|Data encrypted for impact|10|rt=3000 start=1000 end=4000 externalId=0011223344556677 "
                        "deviceExternalId=aa010000000000000000000000000000 act=raised cn1=99 "),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("cs1=rewrites 10s 0.5 "), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with("msg=a\\=b\\\\c\\nd")) << text;
    EXPECT_EQ(syslog_message(alert(), "host"), "<105>1 2026-11-22T05:47:03.250Z host undercroft - T1486 - " + text);
}

/// A socket on the loopback interface that keeps what it gets.
class Listener {
public:
    explicit Listener(int type) : fd_{::socket(AF_INET, type, 0)}
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof(address);
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), length), 0);
        EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length), 0);
        port_ = ntohs(address.sin_port);
        if (type == SOCK_STREAM)
            EXPECT_EQ(::listen(fd_, 4), 0);
    }
    ~Listener() { ::close(fd_); }
    Listener(Listener const&) = delete;
    Listener& operator=(Listener const&) = delete;
    [[nodiscard]] std::string port() const { return std::to_string(port_); }
    [[nodiscard]] std::string datagram() const { return read(fd_); }
    /// Everything until the other end closes or, with an answer, until it has been given.
    [[nodiscard]] std::string connection(std::string const& answer = "") const
    {
        int const peer = ::accept(fd_, nullptr, nullptr);
        std::string text;
        for (std::string part = read(peer); !part.empty(); part = read(peer)) {
            text += part;
            if (!answer.empty() && text.find("\r\n\r\n{") != std::string::npos) {
                EXPECT_GT(::send(peer, answer.data(), answer.size(), 0), 0);
                break;
            }
        }
        ::close(peer);
        return text;
    }

private:
    static std::string read(int fd)
    {
        std::array<char, 8192> bytes{};
        ssize_t const got = ::recv(fd, bytes.data(), bytes.size(), 0);
        return got > 0 ? std::string(bytes.data(), static_cast<std::size_t>(got)) : std::string{};
    }

    int fd_;
    int port_ = 0;
};

TEST(Notifier, SyslogByUdpAndTcp)
{
    Listener const udp{SOCK_DGRAM};
    Notifier const by_udp{{.syslog = "udp:127.0.0.1:" + udp.port()}};
    EXPECT_TRUE(by_udp.send(alert()).empty());
    std::string const datagram = udp.datagram();
    EXPECT_NE(datagram.find("CEF:0|"), std::string::npos);
    Listener const tcp{SOCK_STREAM};
    Notifier const by_tcp{{.syslog = "tcp:127.0.0.1:" + tcp.port()}};
    std::string received;
    std::thread taking{[&] { received = tcp.connection(); }};
    EXPECT_TRUE(by_tcp.send(alert()).empty());
    taking.join();
    EXPECT_EQ(received, std::to_string(datagram.size()) + " " + datagram);
}

TEST(Notifier, WebhookGetsTheLineAndItsSecretsAreNotTold)
{
    Listener const server{SOCK_STREAM};
    std::string const headers = testing::TempDir() + "/undercroft-notify-headers";
    std::ofstream{headers} << "# token\nAuthorization: Bearer sesame\n";
    Notifier const good{{.webhook = "http://user:sesame@127.0.0.1:" + server.port() + "/hook?key=sesame",
                         .webhook_header_file = headers}};
    std::string received;
    std::thread taking{[&] {
        received = server.connection("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }};
    EXPECT_TRUE(good.send(alert()).empty());
    taking.join();
    EXPECT_TRUE(received.starts_with("POST /hook?key=sesame HTTP/1.1\r\n")) << received;
    EXPECT_NE(received.find("Authorization: Bearer sesame\r\n"), std::string::npos);
    EXPECT_EQ(Json::parse(received.substr(received.find("\r\n\r\n") + 4)), alert());

    std::thread refusing{
        [&] { (void)server.connection("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); }};
    Notifier const bad{{.webhook = "http://127.0.0.1:" + server.port() + "/hook?key=sesame", .attempts = 1}};
    std::vector<std::string> const problems = bad.send(alert());
    refusing.join();
    ASSERT_EQ(problems.size(), 1);
    EXPECT_NE(problems[0].find("the server answered 500"), std::string::npos) << problems[0];
    EXPECT_EQ(problems[0].find("sesame"), std::string::npos) << problems[0];
}

TEST(Notifier, RefusesWhatMakesNoSense)
{
    EXPECT_THROW(Notifier({.syslog = "host:514"}), Error);
    EXPECT_THROW(Notifier({.syslog = "udp:514"}), Error);
    EXPECT_THROW(Notifier({.webhook = "file:///etc/passwd"}), Error);
    EXPECT_THROW(Notifier({.webhook = "http://localhost", .webhook_header_file = "/none"}), Error);
}

} // namespace
} // namespace undercroft::analysis
