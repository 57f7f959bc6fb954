// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The collector's commands over the sealed channel, and the turns that streams take.
#include "hypervisor/net/tests/simulation.hpp"

namespace undercroft::net {
namespace {

using wire::ControlCommand;
using wire::ControlResult;
using wire::CounterId;

/// A datagram of the collector, written from wire/datagram.hpp alone.
Bytes sealed_command(TestIdentity const& identity, std::uint64_t instance, std::uint64_t counter, Bytes const& body)
{
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = std::uint8_t{5};
    std::memcpy(header.machine_id, identity.machine.data(), 16);
    std::memcpy(header.boot_id, identity.boot.data(), 16);
    header.instance = instance;
    header.counter = counter;
    header.sealed_bytes = static_cast<std::uint32_t>(body.size());
    Bytes datagram(sizeof(header) + body.size() + 16);
    std::memcpy(datagram.data(), &header, sizeof(header));
    std::copy(body.begin(), body.end(), datagram.begin() + sizeof(header));
    wire::seal(
        wire::derive_key(identity.key, wire::Direction::from_collector, identity.machine, identity.boot, instance),
        datagram);
    return datagram;
}

Bytes command_body(std::uint64_t number, std::uint16_t command, wire::MemoryRequest const* memory = nullptr)
{
    wire::CommandBody head{};
    head.number = number;
    head.command = command;
    Bytes body(sizeof(head) + (memory != nullptr ? sizeof(*memory) : 0));
    std::memcpy(body.data(), &head, sizeof(head));
    if (memory != nullptr)
        std::memcpy(body.data() + sizeof(head), memory, sizeof(*memory));
    return body;
}

struct RememberingTarget final : CommandTarget {
    ControlResult carry_out(Command const& command, std::span<wire::MemoryStatus, wire::memory_modes> states) override
    {
        commands.push_back(command);
        for (wire::MemoryStatus& state : states)
            state.cycles = commands.size();
        return result;
    }
    std::vector<Command> commands;
    ControlResult result = ControlResult::done;
};

struct Answer {
    wire::AnswerBody head;
    std::vector<wire::MemoryStatus> states;
};

struct Commands : ::testing::Test {
    static constexpr std::uint64_t instance = 77;

    Commands()
    {
        for (int i = 0; i < 30; ++i)
            simulation.step();
        EXPECT_GT(simulation.counters.get(CounterId::acks_accepted), 0U);
    }
    void say(Bytes const& body, std::uint64_t from = instance)
    {
        simulation.port.down.put(simulation.clock.now, sealed_command(simulation.identity, from, ++counter, body));
        run();
    }
    void run()
    {
        for (int i = 0; i < 10; ++i) {
            simulation.clock.now += 100 * microsecond;
            while (auto bytes = simulation.port.up.take(simulation.clock.now))
                look(std::move(*bytes));
            (void)simulation.sender.poll(simulation.clock.tsc());
            simulation.sender.serve_command(target);
        }
    }
    void look(Bytes bytes)
    {
        wire::Key const key = wire::derive_key(simulation.identity.key, wire::Direction::from_sensor,
                                               simulation.identity.machine, simulation.identity.boot, 0);
        Bytes copy = bytes;
        ASSERT_TRUE(wire::open(key, copy));
        wire::DatagramHeader header;
        std::memcpy(&header, copy.data(), sizeof(header));
        if (header.type.get() != 6) {
            for (Bytes& answer : simulation.collector.on_datagram(std::move(bytes)))
                simulation.port.down.put(simulation.clock.now, std::move(answer));
            return;
        }
        Answer answer{};
        std::memcpy(&answer.head, copy.data() + sizeof(header), sizeof(answer.head));
        std::size_t const states = (header.sealed_bytes.get() - sizeof(answer.head)) / sizeof(wire::MemoryStatus);
        answer.states.resize(states);
        std::memcpy(static_cast<void*>(answer.states.data()), copy.data() + sizeof(header) + sizeof(answer.head),
                    states * sizeof(wire::MemoryStatus));
        answers.push_back(answer);
    }
    Simulation simulation{1 << 20};
    RememberingTarget target;
    std::vector<Answer> answers;
    std::uint64_t counter = 1000;
};

TEST_F(Commands, EachNumberIsCarriedOutOnceAndAnsweredAsOftenAsItIsSaid)
{
    wire::MemoryRequest request{};
    request.mode = std::uint16_t{1};
    request.action = std::uint16_t{1};
    request.period_us = 5000U;
    Bytes const body = command_body(50, 7, &request);
    say(body);
    ASSERT_EQ(target.commands.size(), 1U);
    EXPECT_EQ(target.commands[0].memory.period_us.get(), 5000U);
    ASSERT_EQ(answers.size(), 1U);
    say(body);
    say(body);
    EXPECT_EQ(target.commands.size(), 1U);
    ASSERT_EQ(answers.size(), 3U);
    for (Answer const& answer : answers) {
        EXPECT_EQ(answer.head.number.get(), 50U);
        EXPECT_EQ(answer.head.command.get(), 7U);
        EXPECT_EQ(answer.head.result.get(), 0U);
        ASSERT_EQ(answer.states.size(), 4U);
        EXPECT_EQ(answer.states[3].cycles.get(), 1U);
    }
    EXPECT_EQ(simulation.counters.get(CounterId::commands_accepted), 1U);
}

TEST_F(Commands, OlderNumbersAreRefused)
{
    say(command_body(50, 3));
    say(command_body(49, 4));
    say(command_body(0, 4));
    ASSERT_EQ(target.commands.size(), 1U);
    EXPECT_EQ(target.commands[0].command, ControlCommand::start);
    EXPECT_EQ(simulation.counters.get(CounterId::commands_refused), 2U);
    EXPECT_EQ(answers.size(), 1U);
    target.result = ControlResult::busy;
    say(command_body(51, 4));
    EXPECT_EQ(target.commands.size(), 2U);
    EXPECT_EQ(answers.back().head.result.get(), 5U);
}

TEST_F(Commands, BadLengthsAndReservedBytesAreRefused)
{
    wire::MemoryRequest const request{};
    Bytes const memory = command_body(60, 7, &request);
    for (std::size_t bytes : {std::size_t{0}, std::size_t{15}, std::size_t{16}, std::size_t{63}})
        say(Bytes(memory.begin(), memory.begin() + static_cast<std::ptrdiff_t>(bytes)));
    Bytes longer = memory;
    longer.push_back(0);
    say(longer);
    say(command_body(60, 3, &request));
    Bytes reserved = command_body(60, 3);
    reserved[12] = 1;
    say(reserved);
    EXPECT_TRUE(target.commands.empty());
    EXPECT_TRUE(answers.empty());
    EXPECT_EQ(simulation.counters.get(CounterId::commands_refused), 7U);
}

TEST_F(Commands, OnlyTheKnownInstanceCommands)
{
    std::uint64_t const malformed = simulation.counters.get(CounterId::acks_malformed);
    say(command_body(70, 3), 78);
    EXPECT_TRUE(target.commands.empty());
    EXPECT_EQ(simulation.counters.get(CounterId::acks_malformed), malformed + 1);
    Bytes wrong = sealed_command(simulation.identity, instance, ++counter, command_body(70, 3));
    wrong.back() ^= 1;
    simulation.port.down.put(simulation.clock.now, wrong);
    run();
    EXPECT_TRUE(target.commands.empty());
    EXPECT_GT(simulation.counters.get(CounterId::acks_bad_seal), 0U);
}

TEST_F(Commands, ANewCommandWaitsUntilTheOneBeforeHasItsAnswer)
{
    simulation.port.down.put(simulation.clock.now,
                             sealed_command(simulation.identity, instance, ++counter, command_body(80, 3)));
    simulation.port.down.put(simulation.clock.now,
                             sealed_command(simulation.identity, instance, ++counter, command_body(81, 4)));
    simulation.clock.now += millisecond;
    (void)simulation.sender.poll(simulation.clock.tsc()); // both arrive before anyone carries out
    run();
    ASSERT_EQ(target.commands.size(), 1U);
    EXPECT_EQ(answers.size(), 1U);
    say(command_body(81, 4));
    EXPECT_EQ(target.commands.size(), 2U);
}

TEST(CommandBox, AnswerHasAsManyStatesAsFit)
{
    CommandBox box;
    ASSERT_TRUE(box.offer(command_body(5, 3)));
    ASSERT_TRUE(box.take().has_value());
    EXPECT_FALSE(box.take().has_value()) << "one CPU carries it out";
    EXPECT_FALSE(box.answer_due());
    box.answer(ControlResult::done, {});
    std::array<std::uint8_t, 464> room{};
    EXPECT_EQ(box.write_answer(room), 16U + 4 * 112);
    EXPECT_EQ(box.write_answer(std::span{room}.first(460)), 16U + 3 * 112) << "an MTU of 576";
    EXPECT_EQ(box.write_answer(std::span{room}.first(15)), 0U);
}

/// Two streams at once.
struct Turns : Simulation {
    Turns() : Simulation(8 << 20)
    {
        EXPECT_TRUE(sender.add_stream(wire::Stream::memory, other));
        for (int i = 0; i < 20; ++i)
            step();
    }
    void put_memory()
    {
        wire::Record record{};
        record.content_bytes = 4096U;
        std::array<std::byte, 4096> const content{};
        other.begin_request();
        other.append(record, content.data());
        other.end_request();
    }
    /// Streams of the data datagrams of one poll.
    std::vector<unsigned> poll_streams()
    {
        clock.now += 2 * millisecond;
        while (port.up.take(clock.now)) {
        }
        sender.flush();
        (void)sender.poll(clock.tsc());
        clock.now += millisecond;
        std::vector<unsigned> streams;
        while (auto bytes = port.up.take(clock.now)) {
            wire::DatagramHeader header;
            std::memcpy(&header, bytes->data(), sizeof(header));
            if (header.type.get() == 2)
                streams.push_back(header.stream.get());
        }
        return streams;
    }
    std::vector<Line> other_memory = std::vector<Line>((8 << 20) / 64);
    observe::SlotBuffer other{std::as_writable_bytes(std::span{other_memory}),
                              {.max_slot_bytes = max_slot_bytes(1500)},
                              clock,
                              counters,
                              nullptr};
};

TEST(SenderTurns, StorageNeverWaitsBehindMemoryAndMemoryNotForEver)
{
    auto turns = std::make_unique<Turns>();
    for (int i = 0; i < 500; ++i)
        turns->put_memory();
    turns->put(0, 0);
    std::vector<unsigned> streams = turns->poll_streams();
    ASSERT_FALSE(streams.empty());
    EXPECT_EQ(streams[0], 1U) << "the storage record leaves first, though megabytes of memory were there before it";
    EXPECT_EQ(std::count(streams.begin(), streams.end(), 2U), 31) << "what is left of the poll is memory's";
    for (std::uint64_t i = 1; i < 200; ++i)
        turns->put(i, 4096);
    streams = turns->poll_streams();
    EXPECT_EQ(std::count(streams.begin(), streams.end(), 2U), 4);
    EXPECT_EQ(std::count(streams.begin(), streams.end(), 1U), 28);
}

} // namespace
} // namespace undercroft::net
