// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A link that drops, doubles and reorders.
#include <map>
#include <memory>
#include <random>

#include "hypervisor/net/sender.hpp"
#include "hypervisor/net/tests/fake_collector.hpp"
#include "hypervisor/net/tests/simulated_clock.hpp"

namespace undercroft::net {

inline constexpr std::uint64_t microsecond = 1'000, millisecond = 1'000'000, second = 1'000'000'000;

/// One direction.
class Link {
public:
    double drop = 0, duplicate = 0;
    std::uint64_t delay = 200 * microsecond, jitter = 0;
    std::uint64_t carried = 0;

    explicit Link(unsigned seed) : random_{seed} {}
    void put(std::uint64_t now, Bytes bytes)
    {
        ++carried;
        if (chance(drop))
            return;
        if (chance(duplicate))
            queue_.emplace(due(now), bytes);
        queue_.emplace(due(now), std::move(bytes));
    }
    std::optional<Bytes> take(std::uint64_t now)
    {
        if (queue_.empty() || queue_.begin()->first > now)
            return {};
        Bytes bytes = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        return bytes;
    }

private:
    bool chance(double p) { return std::uniform_real_distribution<>{0, 1}(random_) < p; }
    std::uint64_t due(std::uint64_t now) { return now + delay + (jitter == 0 ? 0 : random_() % jitter); }
    std::mt19937 random_;
    std::multimap<std::uint64_t, Bytes> queue_;
};

class SimulatedPort final : public DatagramPort {
public:
    SimulatedPort(SimulatedClock& clock, std::uint16_t mtu, unsigned seed)
        : up{seed}, down{seed + 1}, clock_{&clock}, buffer_(max_payload_bytes(mtu))
    {
    }
    Link up, down;
    bool is_ready = true;
    unsigned refuse_every = 0; ///< every n-th datagram is refused
    unsigned kicks = 0;
    std::uint64_t kick_ticks = 0; ///< that one takes

    void poll(Tsc) override {}
    bool ready() override { return is_ready; }
    std::span<std::uint8_t> buffer() override { return buffer_; }
    bool send(std::size_t bytes) override
    {
        if (refuse_every != 0 && ++sends_ % refuse_every == 0)
            return false;
        up.put(clock_->now, Bytes(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(bytes)));
        return true;
    }
    void kick() override
    {
        ++kicks;
        clock_->now += kick_ticks;
    }
    std::span<std::uint8_t> receive() override
    {
        auto bytes = down.take(clock_->now);
        if (!bytes)
            return {};
        received_ = std::move(*bytes);
        return received_;
    }

private:
    SimulatedClock* clock_;
    Bytes buffer_, received_;
    unsigned sends_ = 0;
};

/// Sensor and collector with a link between them.
struct Simulation {
    explicit Simulation(std::size_t memory_bytes, core::Policy policy = core::Policy::drop, std::uint16_t mtu = 1500,
                        unsigned seed = 1)
        : port{clock, mtu, seed}, memory(memory_bytes / 64), collector{identity, 77},
          sender{{identity.machine, identity.boot, identity.key, mtu}, port, clock, counters}, stepper{*this},
          buffer{std::as_writable_bytes(std::span{memory}),
                 {.policy = policy, .max_slot_bytes = max_slot_bytes(mtu)},
                 clock,
                 counters,
                 &stepper}
    {
        EXPECT_TRUE(sender.add_stream(wire::Stream::storage, buffer));
    }

    void put(std::uint64_t n, std::uint32_t content)
    {
        wire::Record record{};
        record.address = n;
        record.content_bytes = content;
        std::vector<std::byte> bytes(content);
        for (std::uint32_t i = 0; i < content; ++i)
            bytes[i] = static_cast<std::byte>(n * 31 + i);
        buffer.begin_request();
        buffer.append(record, bytes.data());
        buffer.end_request();
    }

    PollResult step(std::uint64_t ticks = 100 * microsecond)
    {
        clock.now += ticks;
        while (auto bytes = port.up.take(clock.now))
            if (collector_alive)
                for (Bytes& answer : collector.on_datagram(std::move(*bytes)))
                    port.down.put(clock.now, std::move(answer));
        return sender.poll(clock.tsc());
    }

    /// True when everything was acknowledged within `limit`.
    bool settle(std::uint64_t limit)
    {
        sender.flush();
        for (std::uint64_t const end = clock.now + limit; clock.now < end;)
            if (!step().work_left())
                return true;
        return false;
    }

    void expect_complete(std::uint64_t records) const
    {
        ASSERT_EQ(collector.stored.size(), records);
        for (std::uint64_t n = 0; n < records; ++n) {
            auto const& item = collector.stored[n];
            ASSERT_EQ(item.sequence, n);
            ASSERT_EQ(item.record.address.get(), n);
            for (std::size_t i = 0; i < item.content.size(); ++i)
                ASSERT_EQ(item.content[i], static_cast<std::uint8_t>(n * 31 + i));
        }
    }

    struct Stepper final : observe::RoomMaker {
        explicit Stepper(Simulation& owner) : simulation{&owner} {}
        void make_room() override { simulation->step(); }
        Simulation* simulation;
    };
    struct alignas(64) Line {
        std::byte bytes[64];
    };

    TestIdentity identity;
    SimulatedClock clock;
    core::Counters counters;
    SimulatedPort port;
    std::vector<Line> memory;
    FakeCollector collector;
    bool collector_alive = true;
    Sender sender;
    Stepper stepper;
    observe::SlotBuffer buffer;
};

} // namespace undercroft::net
