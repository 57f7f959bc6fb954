// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/sender.hpp"

#include <gtest/gtest.h>

#include "hypervisor/net/tests/simulation.hpp"

namespace undercroft::net {
namespace {

using wire::CounterId;

std::uint32_t content_size(std::uint64_t n)
{
    return n % 3 == 0 ? 4096 : static_cast<std::uint32_t>(n * 131 % 2000);
}

TEST(Sender, PerfectLinkNeedsNoRepeats)
{
    Simulation s{1 << 20};
    for (std::uint64_t n = 0; n < 2000; ++n) {
        s.put(n, content_size(n));
        s.step();
        s.step();
    }
    ASSERT_TRUE(s.settle(2 * second));
    s.expect_complete(2000);
    EXPECT_EQ(s.counters.get(CounterId::datagrams_resent), 0U);
    EXPECT_EQ(s.counters.get(CounterId::acks_malformed), 0U);
    EXPECT_EQ(s.counters.get(CounterId::acks_bad_seal), 0U);
    EXPECT_EQ(s.counters.get(CounterId::slots_freed), s.counters.get(CounterId::slots_closed));
}

TEST(Sender, RemembersWhenTheCollectorLastAnswered)
{
    Simulation s{1 << 20};
    auto const run = [&](bool collector_alive) {
        s.collector_alive = collector_alive;
        for (unsigned i = 0; i < 3000; ++i)
            s.step(millisecond);
        return s.sender.last_ack().value;
    };
    EXPECT_EQ(run(false), 0U);
    std::uint64_t const before = s.clock.now;
    std::uint64_t const answered = run(true);
    EXPECT_GT(answered, before);
    s.put(0, 100);
    std::uint64_t const later = run(true);
    EXPECT_GT(later, answered);
    EXPECT_LE(later, s.clock.now);
    s.put(1, 100);
    EXPECT_EQ(run(false), later);
}

TEST(Sender, RecordLeavesAfterSendDelay)
{
    Simulation s{1 << 20};
    s.settle(second);
    s.put(0, 100);
    std::uint64_t const made = s.clock.now;
    while (s.collector.stored.empty() && s.clock.now < made + second)
        s.step();
    EXPECT_LE(s.clock.now - made, 12 * millisecond); // 10 ms delay, 0.2 ms link, poll grain
    EXPECT_GE(s.clock.now - made, 10 * millisecond);
    s.put(1, 100);
    s.sender.flush();
    s.step();
    s.step(300 * microsecond);
    EXPECT_EQ(s.collector.stored.size(), 2U);
}

struct Faults {
    core::Policy policy;
    std::uint16_t mtu;
    unsigned seed;
};
class SenderFaults : public testing::TestWithParam<Faults> {};

TEST_P(SenderFaults, LossyLinkLosesNothing)
{
    Simulation s{8 << 20, GetParam().policy, GetParam().mtu, GetParam().seed};
    for (Link* link : {&s.port.up, &s.port.down}) {
        link->drop = 0.2;
        link->duplicate = 0.1;
        link->jitter = 3 * millisecond;
    }
    s.port.refuse_every = 13;
    for (std::uint64_t n = 0; n < 3000; ++n) {
        s.put(n, content_size(n));
        s.step(50 * microsecond);
        if (n == 1000 || n == 2000)
            s.collector.restart(1000 + n);
    }
    ASSERT_TRUE(s.settle(60 * second));
    s.expect_complete(3000);
    EXPECT_EQ(s.counters.get(CounterId::records_dropped), 0U);
    EXPECT_GT(s.counters.get(CounterId::datagrams_resent), 0U);
    EXPECT_GT(s.counters.get(CounterId::datagrams_refused), 0U);
}
INSTANTIATE_TEST_SUITE_P(All, SenderFaults,
                         testing::Values(Faults{core::Policy::drop, 1500, 1}, Faults{core::Policy::hold, 1500, 2},
                                         Faults{core::Policy::drop, 576, 3}, Faults{core::Policy::drop, 9000, 4}));

TEST(Sender, RepeatsStayNearWhatIsLost)
{
    Simulation s{8 << 20};
    s.port.up.drop = s.port.down.drop = 0.2;
    s.port.up.jitter = s.port.down.jitter = 500 * microsecond;
    for (std::uint64_t n = 0; n < 3000; ++n) {
        s.put(n, content_size(n));
        s.step(200 * microsecond);
    }
    ASSERT_TRUE(s.settle(60 * second));
    s.expect_complete(3000);
    // 20 % must be repeated, 20 % of these again ...: 0.2 of all that is sent.
    EXPECT_LT(s.counters.get(CounterId::datagrams_resent), s.counters.get(CounterId::datagrams_sent) * 3 / 10);
}

TEST(Sender, TinyBufferWithHoldLosesNothing)
{
    Simulation s{observe::SlotBuffer::min_memory_bytes, core::Policy::hold};
    s.port.up.drop = s.port.down.drop = 0.2;
    for (std::uint64_t n = 0; n < 1000; ++n)
        s.put(n, content_size(n));
    ASSERT_TRUE(s.settle(60 * second));
    s.expect_complete(1000);
    EXPECT_GT(s.counters.get(CounterId::hold_waits), 0U);
    EXPECT_GT(s.counters.get(CounterId::hold_wait_ns), millisecond);
}

TEST(Sender, TinyBufferWithDropReportsEveryGap)
{
    Simulation s{observe::SlotBuffer::min_memory_bytes};
    s.port.up.drop = s.port.down.drop = 0.1;
    constexpr std::uint64_t made = 2000;
    for (std::uint64_t n = 0; n < made; ++n) {
        s.put(n, content_size(n));
        if (n % 4 == 0)
            s.step();
    }
    ASSERT_TRUE(s.settle(60 * second));
    s.put(made, 0); // ends the last gap
    ASSERT_TRUE(s.settle(60 * second));
    std::uint64_t const dropped = s.counters.get(CounterId::records_dropped);
    EXPECT_GT(dropped, 100U);
    EXPECT_EQ(s.collector.gaps, dropped);
    EXPECT_EQ(s.collector.stored.size() + dropped, made + 1);
    for (auto const& item : s.collector.stored)
        ASSERT_EQ(item.record.address.get(), item.sequence);
}

TEST(Sender, DeadCollectorIsNotFlooded)
{
    Simulation s{8 << 20};
    s.collector_alive = false;
    for (std::uint64_t n = 0; n < 1500; ++n)
        s.put(n, 4096);
    for (int i = 0; i < 20000; ++i)
        s.step(); // 2 s
    std::uint64_t const before = s.port.up.carried;
    for (int i = 0; i < 100000; ++i)
        s.step(); // 10 s
    EXPECT_LE(s.port.up.carried - before, 10U /* hello */ + 10U /* status */ + 8U /* probes */);
    EXPECT_GE(s.port.up.carried - before, 20U);
    s.collector_alive = true;
    std::uint64_t const alive = s.clock.now;
    ASSERT_TRUE(s.settle(60 * second));
    EXPECT_LT(s.clock.now - alive, 10 * second);
    s.expect_complete(1500);
}

TEST(Sender, HelloUntilAcknowledgedAndAgainAfterChanges)
{
    Simulation s{1 << 20};
    HelloInfo info{};
    std::strcpy(info.sensor_version, "0.1.0");
    std::strcpy(info.cpu_backend, "svm");
    info.mode = core::CaptureMode::content;
    s.sender.set_hello(info);
    s.collector_alive = false;
    for (int i = 0; i < 30; ++i)
        s.step(100 * millisecond);
    s.step(millisecond); // what is still on the way is lost
    s.collector_alive = true;
    for (int i = 0; i < 30; ++i)
        s.step(100 * millisecond);
    EXPECT_EQ(s.collector.hellos, 1U);
    EXPECT_STREQ(s.collector.last_hello.sensor_version, "0.1.0");
    EXPECT_EQ(s.collector.last_hello.capture_mode.get(), 1U);
    EXPECT_GE(s.collector.last_hello.time_utc_ns.get() - s.collector.last_hello.start_utc_ns.get(), 3 * second);
    wire::DiskInfo disk{};
    disk.source = std::uint16_t{3};
    disk.capacity_512 = std::uint64_t{1000};
    s.sender.set_disk(disk);
    s.sender.set_disk(disk);
    for (int i = 0; i < 30; ++i)
        s.step(100 * millisecond);
    EXPECT_EQ(s.collector.hellos, 2U);
    ASSERT_EQ(s.collector.disks.size(), 1U);
    EXPECT_EQ(s.collector.disks[0].capacity_512.get(), 1000U);
    s.collector.restart(78);
    s.put(0, 0);
    for (int i = 0; i < 30; ++i)
        s.step(100 * millisecond);
    EXPECT_EQ(s.collector.hellos, 3U);
}

TEST(Sender, StatusCarriesEveryNonzeroCounter)
{
    for (std::uint16_t const mtu : {std::uint16_t{576}, std::uint16_t{1500}}) {
        Simulation s{1 << 20, core::Policy::drop, mtu};
        std::map<unsigned, std::uint64_t> expected;
#define X(id, name, text)                                                                                              \
    if (id >= 32)                                                                                                      \
        s.counters.add(CounterId::name, expected[id] = id * 1000);
        UNDERCROFT_COUNTERS(X)
#undef X
        s.put(0, 10);
        s.put(1, 10);
        s.settle(second);
        for (int i = 0; i < 25; ++i)
            s.step(100 * millisecond);
        for (auto const& [id, value] : expected)
            EXPECT_EQ(s.collector.counters[id], value) << id;
        EXPECT_EQ(s.collector.counters[static_cast<unsigned>(CounterId::records_made)], 2U);
        EXPECT_FALSE(s.collector.counters.contains(static_cast<unsigned>(CounterId::records_dropped)));
        EXPECT_EQ(s.collector.last_status.next_sequence.get(), 2U);
        EXPECT_EQ(s.collector.last_status.next_slot.get(), 1U);
    }
}

TEST(Sender, HostileAcknowledgements)
{
    Simulation s{1 << 20};
    s.port.up.drop = 1; // nothing arrives: all acknowledgements here are forged by hand
    for (std::uint64_t n = 0; n < 20; ++n)
        s.put(n, 4096);
    s.step();
    s.step();
    wire::AckEntry beyond{}, bits{};
    beyond.slot = std::uint64_t{1} << 40;
    bits.slot = std::uint64_t{0};
    bits.received = ~std::uint64_t{0};
    auto const give = [&](Bytes bytes) {
        s.port.down.put(s.clock.now, std::move(bytes));
        s.step(millisecond);
    };
    give(s.collector.make_ack(wire::Stream::storage, 1000, {})); // beyond what was sent
    give(s.collector.make_ack(wire::Stream::storage, ~std::uint64_t{0}, {}));
    give(s.collector.make_ack(wire::Stream::storage, 0, {beyond}));
    give(s.collector.make_ack(wire::Stream::storage, 0, {bits})); // more fragments than there are
    give(s.collector.make_ack(wire::Stream::memory, 0, {}));      // no such stream
    give(s.collector.make_ack(wire::Stream::storage, 0, std::vector<wire::AckEntry>(65)));
    give(Bytes(40)); // too short
    give(Bytes(200));
    EXPECT_EQ(s.counters.get(CounterId::acks_malformed), 8U);
    EXPECT_EQ(s.counters.get(CounterId::acks_accepted), 0U);
    Bytes broken = s.collector.make_ack(wire::Stream::storage, 0, {});
    broken.back() ^= 1;
    give(broken);
    Bytes other_instance = s.collector.make_ack(wire::Stream::storage, 0, {});
    other_instance[40] ^= 1;
    give(other_instance);
    EXPECT_EQ(s.counters.get(CounterId::acks_bad_seal), 2U);
    EXPECT_EQ(s.buffer.oldest(), 0U);
    s.port.up.drop = 0;
    ASSERT_TRUE(s.settle(30 * second));
    s.expect_complete(20);
}

TEST(Sender, CollectorSaysHowFarItMayGo)
{
    Simulation s{8 << 20};
    s.put(0, 10);
    ASSERT_TRUE(s.settle(second));
    Bytes const replay = s.collector.make_ack(wire::Stream::storage, 1, {});
    s.collector.slot_limit = 3;
    s.put(1, 10);
    ASSERT_TRUE(s.settle(second));
    for (std::uint64_t n = 2; n < 300; ++n)
        s.put(n, 4096);
    for (unsigned i = 0; i < 3000; ++i)
        s.step(millisecond);
    EXPECT_EQ(s.collector.next_slot, 3U);
    // A replay is no permission.
    s.port.down.put(s.clock.now, replay);
    for (unsigned i = 0; i < 100; ++i)
        s.step(millisecond);
    EXPECT_EQ(s.collector.next_slot, 3U);
    s.port.down.put(s.clock.now, [&] {
        s.collector.slot_limit = 0;
        return s.collector.make_ack(wire::Stream::storage, 3, {});
    }());
    ASSERT_TRUE(s.settle(60 * second));
    s.expect_complete(300);
}

TEST(Sender, RetiredInstanceIsNotBelieved)
{
    Simulation s{1 << 20};
    s.put(0, 10);
    ASSERT_TRUE(s.settle(second));
    Bytes const replay = s.collector.make_ack(wire::Stream::storage, 1, {});
    s.collector.restart(78);
    s.put(1, 10);
    ASSERT_TRUE(s.settle(second));
    std::uint64_t const accepted = s.counters.get(CounterId::acks_accepted);
    s.port.down.put(s.clock.now, replay);
    s.step(millisecond);
    EXPECT_EQ(s.counters.get(CounterId::acks_accepted), accepted);
    EXPECT_EQ(s.counters.get(CounterId::acks_malformed), 1U);
}

TEST(Sender, PollIsBoundedAndRingsOnce)
{
    Simulation s{8 << 20};
    for (std::uint64_t n = 0; n < 1000; ++n)
        s.put(n, 4096);
    std::uint64_t const before = s.port.up.carried;
    unsigned const kicks = s.port.kicks;
    s.step();
    EXPECT_LE(s.port.up.carried - before, 32U + 2U);
    EXPECT_EQ(s.port.kicks - kicks, 1U);
}

TEST(Sender, WhatPollsCostIsTheStreamsByTheirDatagrams)
{
    Simulation s{1 << 20};
    std::vector<Simulation::Line> memory((1 << 20) / sizeof(Simulation::Line));
    observe::SlotBuffer other{std::as_writable_bytes(std::span{memory}),
                              {.max_slot_bytes = max_slot_bytes(1500)},
                              s.clock,
                              s.counters,
                              nullptr};
    ASSERT_TRUE(s.sender.add_stream(wire::Stream::memory, other));
    auto const& storage_ticks = s.sender.sending_ticks(wire::Stream::storage);
    auto const& memory_ticks = s.sender.sending_ticks(wire::Stream::memory);
    s.port.kick_ticks = 1000;
    ASSERT_TRUE(s.settle(second));
    EXPECT_EQ(storage_ticks, 0U) << "hello is nobody's";
    unsigned kicks = s.port.kicks;
    for (std::uint64_t n = 0; n < 20; ++n)
        s.put(n, 4096);
    ASSERT_TRUE(s.settle(second));
    EXPECT_EQ(memory_ticks, 0U);
    EXPECT_EQ(storage_ticks, (s.port.kicks - kicks) * 1000U) << "acknowledgements cost, too";
    kicks = s.port.kicks;
    std::uint64_t const before = storage_ticks;
    std::vector<std::byte> const page(4096);
    for (std::uint64_t n = 0; n < 20; ++n) {
        wire::Record record{};
        record.content_bytes = std::uint32_t{4096};
        other.begin_request();
        other.append(record, page.data());
        other.end_request();
    }
    s.sender.flush();
    for (int i = 0; i < 200; ++i) // the collector here knows one stream only
        (void)s.step();
    EXPECT_EQ(storage_ticks - before + memory_ticks, (s.port.kicks - kicks) * 1000U);
    EXPECT_GE(memory_ticks * 10, (s.port.kicks - kicks) * 9000U) << "storage had nothing to send";
}

TEST(Sender, SlotsTooLargeForTheMtuAreRefused)
{
    SimulatedClock clock;
    core::Counters counters;
    std::vector<Simulation::Line> memory(1024);
    SimulatedPort port{clock, 576, 1};
    TestIdentity identity;
    Sender sender{{identity.machine, identity.boot, identity.key, 576}, port, clock, counters};
    observe::SlotBuffer buffer{std::as_writable_bytes(std::span{memory}), {}, clock, counters, nullptr};
    EXPECT_FALSE(sender.add_stream(wire::Stream::storage, buffer));
}

TEST(Sender, DrainEndsAtItsDeadline)
{
    struct Ticking final : core::Clock { // time passes with every look at it
        mutable std::uint64_t now = 1000;
        Tsc tsc() const override { return Tsc{now += 10 * microsecond}; }
        std::uint64_t tsc_hz() const override { return second; }
        UtcNs utc(Tsc at) const override { return UtcNs{at.value}; }
        bool synchronised() const override { return false; }
    } clock;
    SimulatedClock link_clock;
    core::Counters counters;
    std::vector<Simulation::Line> memory(1024);
    SimulatedPort port{link_clock, 1500, 1};
    TestIdentity identity;
    Sender sender{{identity.machine, identity.boot, identity.key, 1500}, port, clock, counters};
    observe::SlotBuffer buffer{std::as_writable_bytes(std::span{memory}), {}, clock, counters, nullptr};
    ASSERT_TRUE(sender.add_stream(wire::Stream::storage, buffer));
    EXPECT_TRUE(sender.drain(Tsc{clock.now + second}));
    buffer.begin_request();
    buffer.append(wire::Record{}, nullptr);
    buffer.end_request();
    std::uint64_t const start = clock.now;
    EXPECT_FALSE(sender.drain(Tsc{start + second}));
    EXPECT_LT(clock.now - start, second + 10 * millisecond);
    FakeCollector collector{identity, 7};
    port.up.delay = 0;
    link_clock.now += second;
    while (auto bytes = port.up.take(link_clock.now))
        for (Bytes& answer : collector.on_datagram(std::move(*bytes)))
            port.down.put(link_clock.now, std::move(answer));
    link_clock.now += second;
    EXPECT_TRUE(sender.drain(Tsc{clock.now + second}));
}

} // namespace
} // namespace undercroft::net
