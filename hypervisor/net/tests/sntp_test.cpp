// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "base/mul_div.hpp"
#include "hypervisor/net/sntp_clock.hpp"

namespace undercroft::net {
namespace {

using wire::CounterId;

constexpr std::uint64_t second = 1'000'000'000, millisecond = 1'000'000;
constexpr std::uint64_t in_2026 = 1'780'000'000 * second;

TEST(MulDiv, AgainstWideArithmetic)
{
    std::mt19937_64 random{1};
    for (int i = 0; i < 100000; ++i) {
        std::uint64_t const a = random() >> (random() % 64), b = random() >> (random() % 64),
                            c = random() >> (random() % 64);
        if (c == 0)
            continue;
        auto const wide = static_cast<unsigned __int128>(a) * b / c;
        std::uint64_t const expected = wide > ~std::uint64_t{0} ? ~std::uint64_t{0} : static_cast<std::uint64_t>(wide);
        ASSERT_EQ(mul_div(a, b, c), expected);
    }
    EXPECT_EQ(mul_div(1, 1, 0), ~std::uint64_t{0});
}

/// True time passes; the TSC runs at `hz` times (1 + ppm); the sensor believes `hz`.
struct World final : core::Clock {
    double true_seconds = 0;           ///< since the start
    std::uint64_t start_utc = in_2026; ///< what true time was then
    std::int64_t firmware_error = 0;   ///< ns
    double ppm = 0;
    std::uint64_t hz = 3'000'000'000;

    Tsc tsc() const override
    {
        return Tsc{static_cast<std::uint64_t>(static_cast<long double>(true_seconds) * static_cast<long double>(hz) *
                                              (1.0L + static_cast<long double>(ppm) * 1e-6L)) +
                   1000};
    }
    std::uint64_t tsc_hz() const override { return hz; }
    UtcNs utc(Tsc at) const override
    {
        return UtcNs{start_utc + static_cast<std::uint64_t>(firmware_error) + mul_div(at.value - 1000, second, hz)};
    }
    bool synchronised() const override { return false; }
    std::uint64_t true_utc() const
    {
        return start_utc + static_cast<std::uint64_t>(static_cast<long double>(true_seconds) * 1e9L);
    }
};

using Packet = std::array<std::uint8_t, 48>;

void put(Packet& packet, std::size_t at, std::uint64_t value, std::size_t bytes)
{
    for (std::size_t i = 0; i < bytes; ++i)
        packet[at + i] = static_cast<std::uint8_t>(value >> (8 * (bytes - 1 - i)));
}

std::uint64_t get(std::span<std::uint8_t const> packet, std::size_t at)
{
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i)
        value = value << 8 | packet[at + i];
    return value;
}

/// UTC to NTP by RFC 5905 section 6: seconds since 1900 modulo 2^32, binary fraction.
std::uint64_t to_ntp(std::uint64_t utc)
{
    auto const seconds = static_cast<std::uint32_t>(utc / second + 2'208'988'800U);
    auto const fraction = static_cast<std::uint64_t>(static_cast<long double>(utc % second) * 4.294967296L);
    return static_cast<std::uint64_t>(seconds) << 32 | (fraction & 0xFFFFFFFF);
}

/// A stratum 2 server with chosen one-way delays; `forge` may spoil its answers.
struct Server final : TimeServerPort {
    explicit Server(World& world) : world_{&world} {}
    double there = 0.0005, back = 0.0005; ///< seconds
    double jitter = 0;                    ///< up to so much more on either way, by chance
    std::int64_t error = 0;               ///< ns, of the server's clock
    std::function<void(Packet&)> forge;
    unsigned requests = 0;
    bool silent = false;
    std::vector<std::uint64_t> cookies;

    bool send_request(std::span<std::uint8_t const> request) override
    {
        ++requests;
        EXPECT_EQ(request.size(), 48U);
        EXPECT_EQ(request[0], 0x23);
        cookies.push_back(get(request, 40));
        std::uniform_real_distribution<> extra{0, jitter};
        arrives_at_server_ = world_->true_seconds + there + extra(random_);
        arrives_back_ = arrives_at_server_ + 0.00002 + back + extra(random_);
        std::uint64_t const receive = world_->start_utc +
                                      static_cast<std::uint64_t>(static_cast<long double>(arrives_at_server_) * 1e9L) +
                                      static_cast<std::uint64_t>(error);
        answer_ = {};
        answer_[0] = 0x24; // no warning, version 4, server
        answer_[1] = 2;
        put(answer_, 4, 0x100, 4); // root delay 4 ms
        put(answer_, 8, 0x200, 4); // root dispersion 8 ms
        put(answer_, 12, 0x0A000001, 4);
        put(answer_, 16, to_ntp(receive - 10 * second), 8);
        put(answer_, 24, cookies.back(), 8);
        put(answer_, 32, to_ntp(receive), 8);
        put(answer_, 40, to_ntp(receive + 20000), 8);
        if (forge)
            forge(answer_);
        pending_ = !silent;
        return true;
    }
    std::size_t take_answer(std::span<std::uint8_t> into, Tsc& arrived) override
    {
        if (!pending_ || world_->true_seconds < arrives_back_)
            return 0;
        pending_ = false;
        std::copy(answer_.begin(), answer_.end(), into.begin());
        arrived = world_->tsc();
        return answer_.size();
    }

private:
    World* world_;
    std::mt19937 random_{11};
    double arrives_at_server_ = 0, arrives_back_ = 0;
    Packet answer_{};
    bool pending_ = false;
};

struct Bench {
    explicit Bench(std::function<void(World&)> const& prepare = {}, SntpClock::Options options = {60, 99})
        : world{[&] {
              World w;
              if (prepare)
                  prepare(w);
              return w;
          }()},
          server{world}, clock{world, options, counters}
    {
        clock.set_server(server);
    }
    void run(double seconds, double grain = 0.0001)
    {
        // Fine steps only while an answer is on the way.
        for (double const end = world.true_seconds + seconds; world.true_seconds < end;) {
            unsigned const before = server.requests;
            clock.poll(world.tsc());
            if (server.requests != before)
                for (int i = 0; i < 1000; ++i) {
                    world.true_seconds += grain;
                    clock.poll(world.tsc());
                }
            world.true_seconds += 0.05;
            UtcNs const now = clock.utc(world.tsc());
            if (now < last)
                ++backwards;
            last = now;
        }
    }
    /// Nanoseconds by which our clock is ahead of true time.
    std::int64_t error() const { return static_cast<std::int64_t>(clock.utc(world.tsc()).value - world.true_utc()); }

    World world;
    core::Counters counters;
    Server server;
    SntpClock clock;
    UtcNs last{};
    unsigned backwards = 0;
};

TEST(SntpClock, FirmwareTimeBeforeTheFirstAnswer)
{
    Bench b{[](World& w) { w.firmware_error = 3 * static_cast<std::int64_t>(second); }};
    b.server.silent = true;
    b.run(10);
    EXPECT_FALSE(b.clock.synchronised());
    EXPECT_NEAR(static_cast<double>(b.error()), 3e9, 1e3);
}

TEST(SntpClock, FirstAnswerSetsTheClock)
{
    for (std::int64_t const firmware : {-7'200'000'000'000L, -3'000'000L, 50'000'000L, 7'200'000'000'000L}) {
        Bench b{[&](World& w) { w.firmware_error = firmware; }};
        b.run(300);
        EXPECT_TRUE(b.clock.synchronised());
        EXPECT_LT(std::abs(b.error()), 100'000) << firmware; // 0.1 ms
        EXPECT_LE(b.counters.get(CounterId::clock_steps), 1U);
        if (std::abs(firmware) < static_cast<std::int64_t>(128 * millisecond))
            EXPECT_EQ(b.backwards, 0U);
        EXPECT_EQ(b.counters.get(CounterId::sntp_rejected), 0U);
    }
}

TEST(SntpClock, DriftIsLearnt)
{
    for (double const ppm : {-200.0, -37.0, 0.0, 200.0}) {
        Bench b{[&](World& w) { w.ppm = ppm; }};
        b.run(1200);
        EXPECT_NEAR(static_cast<double>(b.clock.frequency_error_ppb()), ppm * 1000, 500) << ppm;
        // Now the server is silent for ten minutes: the learnt rate carries on.
        b.server.silent = true;
        std::int64_t const before = b.error();
        b.run(600);
        EXPECT_LT(std::abs(b.error() - before), 600'000) << ppm; // 1 ppm; 200 ppm would be 120 ms
        EXPECT_EQ(b.backwards, 0U);
    }
}

TEST(SntpClock, AWronglyMeasuredTscIsNoticed)
{
    // What a firmware's delay loop makes of it on a busy machine. Questions each second, and each minute.
    for (std::uint32_t const interval : {1U, 60U})
        for (double const ppm : {-600'000.0, -316'000.0, -120'000.0, -4000.0, 4000.0, 30'000.0, 200'000.0}) {
            Bench b{[&](World& w) { w.ppm = ppm; }, {interval, 3}};
            b.server.jitter = 0.0005;
            b.run(interval == 1 ? 30 : 400);
            EXPECT_NEAR(static_cast<double>(b.clock.frequency_error_ppb()), ppm * 1000, 2e6) << interval << " " << ppm;
            for (int i = 0; i < 20; ++i) {
                b.run(5);
                EXPECT_LT(std::abs(b.error()), 12'000'000) << interval << " " << ppm;
            }
        }
}

TEST(SntpClock, JumpsOfTheServerAreNoRate)
{
    for (double const jump : {0.02, 0.1, 0.3, 1.0, -0.02, -0.1, -0.3, -5.0})
        for (std::uint32_t const interval : {1U, 60U}) {
            Bench b{{}, {interval, 3}};
            b.server.jitter = 0.002;
            b.run(interval * 12.0);
            b.server.error = static_cast<std::int64_t>(jump * 1e9);
            for (int i = 0; i < 20; ++i) {
                b.run(interval);
                EXPECT_LT(std::abs(static_cast<double>(b.clock.frequency_error_ppb())), 1.1e6)
                    << jump << " " << interval;
            }
        }
}

TEST(SntpClock, SaysWhileItWaitsForAnAnswer)
{
    Bench b;
    EXPECT_FALSE(b.clock.asking());
    b.clock.poll(b.world.tsc());
    EXPECT_TRUE(b.clock.asking());
    b.world.true_seconds += 0.01;
    b.clock.poll(b.world.tsc());
    EXPECT_FALSE(b.clock.asking());
    b.server.silent = true;
    b.world.true_seconds += 3;
    b.clock.poll(b.world.tsc());
    EXPECT_TRUE(b.clock.asking());
    b.world.true_seconds += 2.1;
    b.clock.poll(b.world.tsc());
    EXPECT_FALSE(b.clock.asking()) << "given up";
}

TEST(SntpClock, JitterIsNotFollowed)
{
    Bench b{[](World& w) { w.ppm = 50; }};
    b.server.jitter = 0.02;
    b.run(30);
    std::uint64_t const steps = b.counters.get(CounterId::clock_steps);
    b.run(3600);
    EXPECT_LT(std::abs(b.error()), 5'000'000);
    EXPECT_NEAR(static_cast<double>(b.clock.frequency_error_ppb()), 50'000, 15'000);
    EXPECT_EQ(b.counters.get(CounterId::clock_steps) - steps, 0U);
    EXPECT_EQ(b.backwards, 0U);
}

TEST(SntpClock, AsymmetryIsBoundedByHalfTheDelay)
{
    Bench b;
    b.server.there = 0.010;
    b.server.back = 0.0005;
    b.run(600);
    EXPECT_LT(std::abs(b.error()), 5'000'000);
}

TEST(SntpClock, QuestionsComeAtTheInterval)
{
    Bench b{{}, {60, 5}};
    b.run(30);
    unsigned const first = b.server.requests;
    EXPECT_GE(first, 4U);
    b.run(600);
    EXPECT_NEAR(b.server.requests - first, 10, 1);
    for (std::size_t i = 1; i < b.server.cookies.size(); ++i)
        EXPECT_NE(b.server.cookies[i], b.server.cookies[i - 1]);
}

TEST(SntpClock, AStepNeedsTwoAnswers)
{
    Bench b;
    b.run(300);
    std::uint64_t const steps = b.counters.get(CounterId::clock_steps);
    b.server.error = static_cast<std::int64_t>(10 * second);
    unsigned const requests = b.server.requests;
    while (b.server.requests == requests)
        b.run(0.5);
    b.run(0.5);
    EXPECT_LT(std::abs(b.error()), 100'000); // one answer alone is not believed
    b.server.error = 0;
    b.run(120);
    EXPECT_LT(std::abs(b.error()), 100'000);
    EXPECT_EQ(b.counters.get(CounterId::clock_steps) - steps, 0U);
    b.server.error = static_cast<std::int64_t>(10 * second);
    b.run(120);
    EXPECT_NEAR(static_cast<double>(b.error()), 10e9, 1e6);
    EXPECT_EQ(b.counters.get(CounterId::clock_steps) - steps, 1U);
    b.server.error = -static_cast<std::int64_t>(5 * second);
    b.run(120);
    EXPECT_NEAR(static_cast<double>(b.error()), -5e9, 1e6);
    EXPECT_EQ(b.counters.get(CounterId::clock_steps) - steps, 2U);
}

TEST(SntpClock, SmallOffsetsAreSlewed)
{
    Bench b;
    b.run(300);
    std::uint64_t const steps = b.counters.get(CounterId::clock_steps);
    b.server.error = -static_cast<std::int64_t>(100 * millisecond);
    b.run(200);
    EXPECT_NEAR(static_cast<double>(b.error()), -100e6, 1e6);
    EXPECT_EQ(b.backwards, 0U);
    EXPECT_EQ(b.counters.get(CounterId::clock_steps) - steps, 0U);
}

TEST(SntpClock, Year2036)
{
    // Era 1 begins at 2036-02-07 06:28:16 UTC = 2,085,978,496 s after 1970 (RFC 5905, figure 4).
    EXPECT_EQ(ntp_to_utc(0, UtcNs{in_2026}).value, 2'085'978'496 * second);
    EXPECT_EQ(ntp_to_utc(std::uint64_t{0xFFFFFFFF} << 32, UtcNs{2'085'978'400 * second}).value, 2'085'978'495 * second);
    EXPECT_EQ(ntp_to_utc(std::uint64_t{0xFFFFFFFF} << 32, UtcNs{2'085'978'600 * second}).value, 2'085'978'495 * second);
    // A dead firmware clock (1970) and an answer of 2026-05-28: era 0.
    EXPECT_EQ(ntp_to_utc(to_ntp(in_2026), UtcNs{0}).value, in_2026);
    Bench b{[](World& w) {
        w.start_utc = 2'085'978'496 * second - 150 * second;
        w.ppm = 20;
    }};
    b.run(600);
    EXPECT_LT(std::abs(b.error()), 1'000'000);
    EXPECT_EQ(b.backwards, 0U);
    EXPECT_LE(b.counters.get(CounterId::clock_steps), 1U);
}

TEST(SntpClock, HostileAnswersAreCountedAndIgnored)
{
    std::function<void(Packet&)> const lies[] = {
        [](Packet& p) { p[24] ^= 1; }, // another origin: a replay
        [](Packet& p) { put(p, 24, 0, 8); },
        [](Packet& p) { p[0] = 0x23; }, // mode 3
        [](Packet& p) { p[0] = 0x25; }, // broadcast
        [](Packet& p) { p[0] = 0xE4; }, // alarm: not synchronised
        [](Packet& p) { p[0] = 0x3C; }, // version 7
        [](Packet& p) { p[1] = 16; },
        [](Packet& p) { p[1] = 255; },
        [](Packet& p) { put(p, 40, 0, 8); }, // no transmit time
        [](Packet& p) { put(p, 32, 0, 8); },
        [](Packet& p) { put(p, 4, 0x00040000, 4); },                             // root delay 4 s
        [](Packet& p) { put(p, 8, 0x80000000, 4); },                             // dispersion 32,768 s
        [](Packet& p) { put(p, 40, get(p, 32) - (std::uint64_t{1} << 32), 8); }, // sent before received
        [](Packet& p) { put(p, 40, get(p, 32) + (std::uint64_t{5} << 32), 8); }, // five seconds inside the server
    };
    for (std::size_t i = 0; i < std::size(lies); ++i) {
        Bench b{[](World& w) { w.firmware_error = static_cast<std::int64_t>(second); }};
        b.server.forge = lies[i];
        b.run(60);
        EXPECT_FALSE(b.clock.synchronised()) << i;
        EXPECT_NEAR(static_cast<double>(b.error()), 1e9, 1e4) << i;
        EXPECT_GT(b.counters.get(CounterId::sntp_rejected), 0U) << i;
        EXPECT_EQ(b.counters.get(CounterId::sntp_answers), 0U) << i;
        b.server.forge = {};
        b.run(120);
        EXPECT_TRUE(b.clock.synchronised()) << i;
        EXPECT_LT(std::abs(b.error()), 1'000'000) << i;
    }
}

TEST(SntpClock, KissOfDeathSlowsDown)
{
    Bench b;
    b.server.forge = [](Packet& p) {
        p[1] = 0;
        put(p, 12, 0x52415445, 4); // RATE
    };
    b.run(1200);
    EXPECT_LE(b.server.requests, 5U); // after 0, 120, 240, 480 ... s
    unsigned const requests = b.server.requests;
    b.server.forge = [](Packet& p) {
        p[1] = 0;
        put(p, 12, 0x44454E59, 4); // DENY
    };
    b.run(7200);
    EXPECT_LE(b.server.requests - requests, 3U);
}

TEST(SntpClock, LongRunsDoNotWrap)
{
    Bench b{[](World& w) {
        w.hz = 4'000'000'000;
        w.true_seconds = 3.0 * 365 * 86400; // up for three years: 2^58 ticks
    }};
    b.server.silent = true;
    Tsc const now = b.world.tsc();
    // From the start of the line to a hundred days later without an answer.
    Tsc const later{now.value + 4'000'000'000ULL * 86400 * 100};
    EXPECT_NEAR(static_cast<double>(b.clock.utc(later).value - b.clock.utc(now).value), 86400e9 * 100, 1000.0);
    // A reading of another CPU from just before.
    EXPECT_NEAR(static_cast<double>(b.clock.utc(now).value - b.clock.utc(Tsc{now.value - 4000}).value), 1000.0, 2.0);
}

TEST(TimeLine, ReadersNeverSeeAMixture)
{
    TimeLine line;
    std::atomic<bool> done{false};
    std::thread writer{[&] {
        for (std::uint64_t i = 1; i < 200000; ++i)
            line.publish({Tsc{i}, UtcNs{i}, i, Tsc{i}, UtcNs{i}, i});
        done = true;
    }};
    while (!done) {
        auto const p = line.pieces();
        ASSERT_TRUE(p.start.value == p.rate && p.start_utc.value == p.rate && p.slew_rate == p.rate &&
                    p.bend.value == p.rate && p.bend_utc.value == p.rate);
    }
    writer.join();
}

} // namespace
} // namespace undercroft::net
