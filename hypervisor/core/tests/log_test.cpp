// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/log.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "hypervisor/core/log_reader.hpp"
#include "hypervisor/core/log_serial.hpp"

namespace undercroft::core {
namespace {

std::string read_all(LogRing const& ring, std::uint64_t cursor, std::uint64_t* lost = nullptr)
{
    std::string all;
    for (;;) {
        char part[LogRing::min_read_bytes];
        LogRead const read = ring.read(cursor, part);
        if (lost != nullptr)
            *lost += read.lost;
        if (read.bytes == 0)
            return all;
        all.append(part, read.bytes);
        cursor = read.next;
    }
}

TEST(LogRing, LinesCarryNumberTimeAndLevel)
{
    std::vector<char> memory(4096);
    LogRing ring{memory};
    ring.append(LogLevel::info, 1'002'003'999, "first");
    ring.append(LogLevel::error, 61'000'000'000, "bad\x1b[2J\n\xff");
    ring.append(LogLevel::debug, 0, "");
    EXPECT_EQ("0 1.002003 info: first\n1 61.000000 error: bad?[2J??\n2 0.000000 debug: \n", read_all(ring, 0));
    EXPECT_EQ("2 0.000000 debug: \n", read_all(ring, 2));
    EXPECT_EQ("", read_all(ring, 3));
    EXPECT_EQ("", read_all(ring, 1000));
}

TEST(LogRing, LongTextContinuesAndLosesNothing)
{
    std::vector<char> memory(4096);
    LogRing ring{memory};
    ring.append(LogLevel::info, 0, std::string(LogRing::max_text, 'a') + "tail");
    EXPECT_EQ("0 0.000000 info: " + std::string(LogRing::max_text, 'a') + "\n1 0.000000 info: tail\n",
              read_all(ring, 0));
}

TEST(LogRing, OldLinesGiveWayWholeAndAreCounted)
{
    std::vector<char> memory(1024);
    LogRing ring{memory};
    for (unsigned i = 0; i < 1000; ++i)
        ring.append(LogLevel::info, 0, "line " + std::to_string(i));
    std::uint64_t lost = 0;
    std::string const all = read_all(ring, 7, &lost);
    // What is left is the last lines, unbroken, and lost + given = 1000 - 7.
    std::string expected;
    std::uint64_t const first = 7 + lost;
    for (std::uint64_t i = first; i < 1000; ++i)
        expected += std::to_string(i) + " 0.000000 info: line " + std::to_string(i) + "\n";
    EXPECT_EQ(expected, all);
    EXPECT_GT(first, 900U);
    EXPECT_LE(first, 1000U - 1024 / (24 + 8));
}

TEST(LogRing, SmallBufferGetsWholeLinesOnly)
{
    std::vector<char> memory(4096);
    LogRing ring{memory};
    ring.append(LogLevel::info, 0, "one");
    ring.append(LogLevel::info, 0, "two");
    char part[25];
    LogRead const read = ring.read(0, part);
    EXPECT_EQ("0 0.000000 info: one\n", std::string(part, read.bytes));
    EXPECT_EQ(1U, read.next);
    char tiny[4];
    EXPECT_EQ(0U, ring.read(0, tiny).bytes);
    EXPECT_EQ(0U, ring.read(0, tiny).next);
}

TEST(LogRing, WritersOnManyCpusLoseNothing)
{
    std::vector<char> memory(1 << 20);
    LogRing ring{memory};
    std::vector<std::thread> writers;
    for (int w = 0; w < 4; ++w)
        writers.emplace_back([&ring, w] {
            for (int i = 0; i < 1000; ++i)
                ring.append(LogLevel::info, 0, std::to_string(w) + ":" + std::to_string(i));
        });
    for (auto& writer : writers)
        writer.join();
    ASSERT_EQ(0U, ring.given_up());
    std::string const all = read_all(ring, 0);
    for (int w = 0; w < 4; ++w)
        for (int i = 0; i < 1000; ++i)
            ASSERT_NE(std::string::npos, all.find(" info: " + std::to_string(w) + ":" + std::to_string(i) + "\n"));
    EXPECT_EQ(4000, std::count(all.begin(), all.end(), '\n'));
}

/// A UART that takes a byte only while it has credit.
class UartModel final : public PortIo {
public:
    std::string sent;
    std::size_t credit = ~std::size_t{0};
    unsigned polls = 0;
    bool present = true;

    std::uint32_t load(std::uint16_t port, unsigned width) override
    {
        EXPECT_EQ(1U, width);
        if (!present)
            return 0xff;
        switch (port - 0x3e8) {
        case 2:
            return 0xc1;
        case 5:
            ++polls;
            return credit >= 16 ? 0x60 : 0;
        case 7:
            return scratch_;
        default:
            return 0;
        }
    }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        EXPECT_EQ(1U, width);
        if (port == 0x3eb)
            line_control_ = value;
        if (port == 0x3ef)
            scratch_ = value;
        if (port != 0x3e8 || (line_control_ & 0x80) != 0)
            return;
        EXPECT_GT(credit, 0U) << "overrun";
        --credit;
        sent += static_cast<char>(value);
    }

private:
    std::uint32_t line_control_ = 0, scratch_ = 0;
};

TEST(SerialPort, SendsInBurstsAndGivesUpOnAStalledPort)
{
    UartModel uart;
    SerialPort serial;
    EXPECT_FALSE(serial.write("closed"));
    ASSERT_TRUE(serial.open(uart, 0x3e8));
    uart.polls = 0;
    EXPECT_TRUE(serial.write(std::string(100, 'x')));
    EXPECT_EQ(std::string(100, 'x'), uart.sent);
    EXPECT_EQ(7U, uart.polls);
    uart.credit = 20;
    EXPECT_FALSE(serial.write(std::string(100, 'y')));
    EXPECT_EQ(116U, uart.sent.size());
    EXPECT_LE(uart.polls, 20'100U);
    unsigned const before = uart.polls;
    EXPECT_FALSE(serial.write("z"));
    EXPECT_EQ(before + 1, uart.polls) << "a stalled port is only glanced at";
    uart.credit = 1000;
    EXPECT_TRUE(serial.write("back"));
    EXPECT_TRUE(uart.sent.ends_with("back"));
}

TEST(SerialPort, AbsentPortIsNoticed)
{
    UartModel uart;
    uart.present = false;
    SerialPort serial;
    EXPECT_FALSE(serial.open(uart, 0x3e8));
}

TEST(Log, FormatsFiltersAndCopiesToSerial)
{
    log(LogLevel::info, str("port "), dec(3), str(" reset at "), hex(0xdeadbeef));
    log(LogLevel::debug, str("not kept"));
    UartModel uart;
    ASSERT_TRUE(set_log_serial(uart, 0x3e8));
    set_log_time([]() -> std::uint64_t { return 5'000'000; });
    log(LogLevel::warning, dec(0));
    std::string const expected = "0 0.000000 info: port 3 reset at 0xdeadbeef\n1 0.005000 warning: 0\n";
    EXPECT_EQ(expected, uart.sent);
    char part[1024];
    LogRead const read = read_log(0, part);
    EXPECT_EQ(expected, std::string(part, read.bytes));
    EXPECT_EQ(2U, next_log_line());
    set_log_level(LogLevel::error);
    log(LogLevel::warning, str("not kept"));
    EXPECT_EQ(2U, next_log_line());
}

} // namespace
} // namespace undercroft::core
