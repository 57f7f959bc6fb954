// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/stack.hpp"

#include <gtest/gtest.h>

#include <random>

#include "hypervisor/net/sender.hpp"
#include "hypervisor/net/tests/frame_peer.hpp"
#include "hypervisor/net/tests/simulation.hpp"

namespace undercroft::net {
namespace {

constexpr MacAddress peer_mac{0x02, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE};
constexpr MacAddress broadcast{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
constexpr Ip own_ip{10, 0, 0, 15}, collector_ip{10, 0, 0, 2}, gateway_ip{10, 0, 0, 1}, far_ip{192, 168, 7, 7};

StackOptions static_address(Ip collector = collector_ip)
{
    return {.dhcp = false,
            .address = own_ip,
            .netmask = {255, 255, 255, 0},
            .gateway = gateway_ip,
            .collector = collector,
            .collector_port = 4000,
            .sntp = true,
            .sntp_server = collector_ip,
            .sntp_port = 123,
            .random_seed = 42};
}

struct Wire {
    explicit Wire(StackOptions const& options) : stack{options, nic, clock, counters} {}
    ~Wire() { stack.shut_down(); }

    /// Answers ARP for everything but the sensor's own address.
    void answer_arp()
    {
        for (Frame const& frame : std::exchange(nic.from_sensor, {})) {
            if (be16(&frame[12]) == 0x0806 && be16(&frame[20]) == 1) {
                Ip asked, asker;
                std::copy_n(&frame[38], 4, asked.begin());
                std::copy_n(&frame[28], 4, asker.begin());
                asked_for.push_back(asked);
                if (asked != asker)
                    nic.to_sensor.push_back(arp(2, nic.own, peer_mac, asked, asker));
            } else {
                frames.push_back(frame);
            }
        }
    }
    void step(std::uint64_t ticks = 10 * millisecond)
    {
        clock.now += ticks;
        stack.poll(clock.tsc());
        (void)stack.receive();
        stack.kick();
        answer_arp();
    }
    void until_ready()
    {
        for (int i = 0; i < 500 && !stack.ready(); ++i)
            step();
        ASSERT_TRUE(stack.ready());
    }
    bool send(Frame const& payload)
    {
        std::copy(payload.begin(), payload.end(), stack.buffer().begin());
        bool const sent = stack.send(payload.size());
        stack.kick();
        answer_arp();
        return sent;
    }
    Frame receive()
    {
        stack.poll(clock.tsc());
        auto const bytes = stack.receive();
        return {bytes.begin(), bytes.end()};
    }

    FakeNic nic;
    SimulatedClock clock;
    core::Counters counters;
    Stack stack;
    std::vector<Frame> frames;
    std::vector<Ip> asked_for;
};

TEST(Stack, FindsTheCollectorAndSends)
{
    Wire wire{static_address()};
    EXPECT_FALSE(wire.stack.ready());
    EXPECT_FALSE(wire.send({1, 2, 3})); // refused, not queued somewhere
    wire.until_ready();
    EXPECT_NE(std::find(wire.asked_for.begin(), wire.asked_for.end(), collector_ip), wire.asked_for.end());
    Frame payload(1472);
    for (std::size_t i = 0; i < payload.size(); ++i)
        payload[i] = static_cast<std::uint8_t>(i * 3);
    wire.frames.clear();
    ASSERT_TRUE(wire.send(payload));
    ASSERT_EQ(wire.frames.size(), 1U);
    EXPECT_EQ(wire.frames[0].size(), 1514U);
    auto const seen = parse_udp(wire.frames[0]);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->to, peer_mac);
    EXPECT_EQ(seen->from_ip, own_ip);
    EXPECT_EQ(seen->to_ip, collector_ip);
    EXPECT_EQ(seen->to_port, 4000U);
    EXPECT_EQ(seen->payload, payload);
    wire.nic.ring = 0;
    EXPECT_FALSE(wire.send({1}));
    wire.nic.ring = 255;
    EXPECT_TRUE(wire.send({1}));
}

TEST(Stack, FarCollectorIsReachedThroughTheGateway)
{
    Wire wire{static_address(far_ip)};
    wire.until_ready();
    EXPECT_NE(std::find(wire.asked_for.begin(), wire.asked_for.end(), gateway_ip), wire.asked_for.end());
    EXPECT_EQ(std::find(wire.asked_for.begin(), wire.asked_for.end(), far_ip), wire.asked_for.end());
    wire.frames.clear();
    ASSERT_TRUE(wire.send({9}));
    EXPECT_EQ(parse_udp(wire.frames.at(0))->to_ip, far_ip);
}

TEST(Stack, TakesDatagramsFromTheCollectorOnly)
{
    Wire wire{static_address()};
    wire.until_ready();
    wire.frames.clear();
    ASSERT_TRUE(wire.send({1}));
    unsigned const port = parse_udp(wire.frames.at(0))->from_port;
    Frame const payload{7, 7, 7};
    auto const packet = [&](Ip from, unsigned from_port, unsigned to_port, unsigned fragment = 0) {
        return ipv4(wire.nic.own, peer_mac, from, own_ip, 17, udp(from_port, to_port, payload), fragment);
    };
    wire.nic.to_sensor.push_back(packet(collector_ip, 4000, port));
    EXPECT_EQ(wire.receive(), payload);
    EXPECT_TRUE(wire.receive().empty());
    Frame bad_sum = packet(collector_ip, 4000, port);
    bad_sum[24] ^= 1;
    Frame cut = packet(collector_ip, 4000, port);
    cut.resize(cut.size() - 2); // the IP header promises more
    Frame const foreign[] = {
        packet({10, 0, 0, 3}, 4000, port),
        packet(collector_ip, 4001, port),
        packet(collector_ip, 4000, port + 1),
        packet(collector_ip, 4000, port, 0x2000), // more fragments follow
        packet(collector_ip, 4000, port, 0x0001),
        bad_sum,
        cut,
    };
    for (std::size_t i = 0; i < std::size(foreign); ++i) {
        wire.nic.to_sensor.push_back(foreign[i]);
        EXPECT_TRUE(wire.receive().empty()) << i;
    }
    // Two at once: each is handed over by itself.
    wire.nic.to_sensor.push_back(packet(collector_ip, 4000, port));
    wire.nic.to_sensor.push_back(packet(collector_ip, 4000, port));
    wire.stack.poll(wire.clock.tsc());
    EXPECT_EQ(wire.stack.receive().size(), 3U);
    EXPECT_EQ(wire.stack.receive().size(), 3U);
    EXPECT_EQ(wire.stack.receive().size(), 0U);
    EXPECT_EQ(wire.counters.get(wire::CounterId::network_asserts), 0U);
}

TEST(Stack, AnswersArpAndEcho)
{
    Wire wire{static_address()};
    wire.until_ready();
    wire.frames.clear();
    wire.nic.to_sensor.push_back(arp(1, broadcast, peer_mac, {10, 0, 0, 9}, own_ip));
    wire.clock.now += millisecond;
    wire.stack.poll(wire.clock.tsc());
    (void)wire.stack.receive();
    wire.stack.kick();
    ASSERT_EQ(wire.nic.from_sensor.size(), 1U);
    Frame const reply = wire.nic.from_sensor[0];
    EXPECT_EQ(be16(&reply[20]), 2U);
    EXPECT_TRUE(std::equal(wire.nic.own.begin(), wire.nic.own.end(), &reply[22]));
    wire.nic.from_sensor.clear();
    Frame echo{8, 0, 0, 0, 0, 1, 0, 1, 'a', 'b', 'c', 'd'};
    std::uint16_t const sum = internet_checksum(echo.data(), echo.size());
    echo[2] = static_cast<std::uint8_t>(sum >> 8);
    echo[3] = static_cast<std::uint8_t>(sum);
    wire.nic.to_sensor.push_back(ipv4(wire.nic.own, peer_mac, collector_ip, own_ip, 1, echo));
    wire.step();
    ASSERT_EQ(wire.frames.size(), 1U);
    EXPECT_EQ(wire.frames[0][34], 0); // echo reply
    EXPECT_EQ(internet_checksum(&wire.frames[0][34], 12), 0U);
}

/// RFC 2131: OFFER to DISCOVER, ACK to REQUEST.
std::optional<Frame> dhcp_answer(Frame const& frame, MacAddress const& client)
{
    auto const request = parse_udp(frame);
    if (!request || request->to_port != 67 || request->payload.size() < 243)
        return {};
    unsigned const type = request->payload[242]; // lwIP puts option 53 first
    Frame answer(request->payload.begin(), request->payload.begin() + 236);
    answer[0] = 2;
    std::copy(own_ip.begin(), own_ip.end(), answer.begin() + 16);
    put_all(answer, Frame{0x63, 0x82, 0x53, 0x63, 53, 1, static_cast<std::uint8_t>(type == 1 ? 2 : 5)});
    put_all(answer, Frame{54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1, 255});
    return ipv4(client, peer_mac, gateway_ip, own_ip, 17, udp(67, 68, answer));
}

TEST(Stack, AddressByDhcp)
{
    StackOptions options = static_address();
    options.dhcp = true;
    options.address = options.netmask = options.gateway = {};
    Wire wire{options};
    for (int i = 0; i < 500 && !wire.stack.ready(); ++i) {
        wire.step();
        for (Frame const& frame : std::exchange(wire.frames, {}))
            if (auto answer = dhcp_answer(frame, wire.nic.own))
                wire.nic.to_sensor.push_back(*answer);
    }
    EXPECT_TRUE(wire.stack.ready());
    EXPECT_EQ(wire.stack.address(), own_ip);
    ASSERT_TRUE(wire.send({1}));
    EXPECT_EQ(parse_udp(wire.frames.back())->from_ip, own_ip);
}

TEST(Stack, LinkDownMeansNotReady)
{
    Wire wire{static_address()};
    wire.nic.up = false;
    for (int i = 0; i < 100; ++i)
        wire.step();
    EXPECT_FALSE(wire.stack.ready());
    wire.nic.up = true;
    wire.until_ready();
}

TEST(Stack, TimeServerPort)
{
    Wire wire{static_address()};
    wire.until_ready();
    wire.frames.clear();
    Frame const request(48, 0x1B);
    ASSERT_TRUE(wire.stack.send_request(request));
    wire.step();
    wire.step();
    ASSERT_FALSE(wire.frames.empty());
    auto const seen = parse_udp(wire.frames[0]);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->to_port, 123U);
    EXPECT_EQ(seen->payload, request);
    EXPECT_NE(seen->checksum, 0U);
    wire.nic.to_sensor.push_back(
        ipv4(wire.nic.own, peer_mac, collector_ip, own_ip, 17, udp(123, seen->from_port, Frame(300, 0x55))));
    wire.step();
    std::array<std::uint8_t, 64> answer;
    Tsc arrived{};
    EXPECT_EQ(wire.stack.take_answer(answer, arrived), 64U);
    EXPECT_EQ(arrived.value, wire.clock.now);
    EXPECT_EQ(wire.stack.take_answer(answer, arrived), 0U);
}

TEST(Stack, GarbageHarmsNothing)
{
    Wire wire{static_address()};
    wire.until_ready();
    std::mt19937 random{3};
    for (int i = 0; i < 20000; ++i) {
        Frame frame(random() % 1600);
        for (auto& byte : frame)
            byte = static_cast<std::uint8_t>(random());
        if (frame.size() > 40 && i % 4 != 0) { // make it look like something
            std::copy(wire.nic.own.begin(), wire.nic.own.end(), frame.begin());
            bool const is_arp = i % 4 == 1;
            frame[12] = 8;
            frame[13] = is_arp ? 6 : 0;
            if (!is_arp) {
                Frame const payload(frame.begin() + 34, frame.end());
                constexpr std::uint8_t protocols[] = {1, 17, 6, 2};
                frame = ipv4(wire.nic.own, peer_mac, collector_ip, own_ip, protocols[random() % 4], payload);
            }
        }
        wire.nic.to_sensor.push_back(frame);
        if (i % 16 == 0)
            wire.step(millisecond);
    }
    wire.nic.to_sensor.push_back(Frame(9000, 1));
    wire.step();
    EXPECT_GT(wire.counters.get(wire::CounterId::frames_unusable), 0U);
    wire.until_ready();
    EXPECT_TRUE(wire.send({1, 2, 3}));
}

TEST(Stack, SenderDeliversThroughIt)
{
    Wire wire{static_address()};
    std::vector<Simulation::Line> memory(1 << 14);
    TestIdentity identity;
    FakeCollector collector{identity, 5};
    Sender sender{{identity.machine, identity.boot, identity.key, 1500}, wire.stack, wire.clock, wire.counters};
    observe::SlotBuffer buffer{std::as_writable_bytes(std::span{memory}), {}, wire.clock, wire.counters, nullptr};
    ASSERT_TRUE(sender.add_stream(wire::Stream::storage, buffer));
    std::uint64_t made = 0;
    for (int i = 0; i < 3000; ++i) {
        wire.clock.now += millisecond;
        if (made < 200) {
            wire::Record record{};
            record.address = made++;
            record.content_bytes = 4096U;
            std::vector<std::byte> const content(4096, static_cast<std::byte>(made));
            buffer.begin_request();
            ASSERT_TRUE(buffer.append(record, content.data()));
            buffer.end_request();
        }
        (void)sender.poll(wire.clock.tsc());
        wire.answer_arp();
        for (Frame const& frame : std::exchange(wire.frames, {}))
            if (auto const seen = parse_udp(frame); seen && seen->to_port == 4000)
                for (Bytes const& answer : collector.on_datagram(seen->payload))
                    wire.nic.to_sensor.push_back(
                        ipv4(wire.nic.own, peer_mac, collector_ip, own_ip, 17, udp(4000, seen->from_port, answer)));
    }
    ASSERT_EQ(collector.stored.size(), 200U);
    for (std::uint64_t n = 0; n < 200; ++n)
        EXPECT_EQ(collector.stored[n].record.address.get(), n);
    EXPECT_EQ(collector.bad, 0U);
    EXPECT_FALSE(sender.poll(wire.clock.tsc()).work_left());
    EXPECT_EQ(wire.counters.get(wire::CounterId::network_asserts), 0U);
}

} // namespace
} // namespace undercroft::net
