// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Sealed datagrams in, acknowledgements out, over real sockets.
#include "collector/intake.hpp"

#include <gtest/gtest.h>

#include <poll.h>

#include <thread>

#include "collector/report.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"

namespace undercroft::collector {
namespace {

using test::boot_a;

class IntakeTest : public testing::Test {
protected:
    std::vector<std::uint8_t> sealed(wire::Type type, std::vector<std::uint8_t> const& plaintext,
                                     std::uint64_t first = 0, std::uint32_t count = 0)
    {
        wire::DatagramHeader header{};
        header.magic = wire::datagram_magic;
        header.version = wire::datagram_version;
        header.type = static_cast<std::uint8_t>(type);
        header.stream = static_cast<std::uint16_t>(type == wire::Type::data ? 1 : 0);
        std::ranges::copy(boot_a.machine, header.machine_id);
        std::ranges::copy(boot_a.boot, header.boot_id);
        header.counter = ++counter;
        header.first_sequence = first;
        header.count = count;
        header.sealed_bytes = static_cast<std::uint32_t>(plaintext.size());
        std::vector<std::uint8_t> datagram(wire::datagram_overhead + plaintext.size());
        std::memcpy(datagram.data(), &header, sizeof(header));
        std::ranges::copy(plaintext, datagram.begin() + sizeof(header));
        wire::seal(wire::derive_key(key, wire::Direction::from_sensor, boot_a.machine, boot_a.boot, 0), datagram);
        return datagram;
    }

    std::vector<std::uint8_t> data_datagram(std::uint64_t slot, std::uint64_t first, std::uint32_t count)
    {
        auto const bytes = test::slot_bytes(first, count);
        wire::DataBody body{};
        body.slot = slot;
        body.slot_bytes = static_cast<std::uint32_t>(bytes.size());
        body.fragments = std::uint16_t{1};
        std::vector<std::uint8_t> plaintext(sizeof(body));
        std::memcpy(plaintext.data(), &body, sizeof(body));
        plaintext.insert(plaintext.end(), bytes.begin(), bytes.end());
        return sealed(wire::Type::data, plaintext, first, count);
    }

    Intake::Verdict take(std::vector<std::uint8_t> datagram, Peer const& from)
    {
        return intake.take(lane, datagram, from, 1);
    }
    Intake::Verdict take(std::vector<std::uint8_t> datagram) { return take(std::move(datagram), sensor_peer); }

    /// An acknowledgement that the sensor's socket gets: header fields and body.
    struct Ack {
        wire::DatagramHeader header;
        wire::AckBody body;
    };
    std::vector<Ack> next_acks(Socket& at)
    {
        std::vector<Ack> acks;
        pollfd descriptor{at.fd(), POLLIN, 0};
        std::size_t const count = ::poll(&descriptor, 1, 200) <= 0 ? 0 : at.receive();
        for (std::size_t i = 0; i < count; ++i) {
            auto const datagram = at.datagram(i).bytes;
            Ack& ack = acks.emplace_back();
            std::memcpy(&ack.header, datagram.data(), sizeof(ack.header));
            EXPECT_TRUE(wire::open(wire::derive_key(key, wire::Direction::from_collector, boot_a.machine, boot_a.boot,
                                                    ack.header.instance.get()),
                                   datagram));
            std::memcpy(&ack.body, datagram.data() + sizeof(ack.header), sizeof(ack.body));
        }
        return acks;
    }
    std::optional<Ack> next_ack(Socket& at)
    {
        auto const acks = next_acks(at);
        return acks.empty() ? std::nullopt : std::optional{acks.front()};
    }

    static Peer peer_of(Socket const& socket)
    {
        Peer peer;
        peer.length = sizeof(peer.address);
        ::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&peer.address), &peer.length);
        return peer;
    }

    void commit()
    {
        intake.commit_started();
        ASSERT_TRUE(store.commit());
        intake.commit_finished(lane);
    }

    test::StoreFolder folder;
    wire::Key key{7, 7, 7};
    std::uint64_t counter = 0;
    Counters counters;
    Store store{{.folder = folder.path()}};
    KeyRing ring = KeyRing::parse(to_hex(key), "key");
    Intake intake{ring, {}, store};
    Intake::Lane lane{counters};
    Socket collector_socket{"127.0.0.1:0", 1 << 16};
    Socket sensor_socket{"127.0.0.1:0", 1 << 16};
    Peer sensor_peer = peer_of(sensor_socket);
};

TEST_F(IntakeTest, NothingIsAcknowledgedBeforeTheCommit)
{
    ASSERT_EQ(take(data_datagram(0, 0, 3)), Intake::Verdict::accepted);
    intake.acknowledge(lane, collector_socket);
    auto const before = next_ack(sensor_socket);
    ASSERT_TRUE(before);
    EXPECT_EQ(before->body.next_slot.get(), 0U);
    EXPECT_EQ(before->header.count.get(), 1U); // it has arrived, but is not durable
    commit();
    intake.acknowledge(lane, collector_socket);
    auto const after = next_ack(sensor_socket);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->body.next_slot.get(), 1U);
    EXPECT_EQ(after->body.highest_counter.get(), 1U);
    EXPECT_GT(after->header.counter.get(), before->header.counter.get());
    EXPECT_EQ(after->header.instance.get(), before->header.instance.get());
    EXPECT_NE(after->header.instance.get(), 0U);
}

TEST_F(IntakeTest, SensorIsToldHowFarItMayGo)
{
    ASSERT_EQ(take(data_datagram(0, 0, 3)), Intake::Verdict::accepted);
    intake.acknowledge(lane, collector_socket);
    auto const ack = next_ack(sensor_socket);
    ASSERT_TRUE(ack);
    // An eighth of 256 MiB, in slots of 32 KiB and their overhead.
    EXPECT_EQ(ack->header.first_sequence.get(), 1U + 1008U);
}

TEST_F(IntakeTest, StreamsOfOneSensorAreKeptApart)
{
    auto memory = data_datagram(0, 0, 3);
    wire::DatagramHeader header;
    auto const key_in = wire::derive_key(key, wire::Direction::from_sensor, boot_a.machine, boot_a.boot, 0);
    ASSERT_TRUE(wire::open(key_in, memory));
    std::memcpy(&header, memory.data(), sizeof(header));
    header.stream = static_cast<std::uint16_t>(wire::Stream::memory);
    std::memcpy(memory.data(), &header, sizeof(header));
    for (std::size_t at = sizeof(header) + sizeof(wire::DataBody); at + sizeof(wire::Record) <= memory.size() - 16;) {
        wire::Record record;
        std::memcpy(&record, memory.data() + at, sizeof(record));
        record.kind = static_cast<std::uint8_t>(wire::Kind::memory_write);
        std::memcpy(memory.data() + at, &record, sizeof(record));
        at += sizeof(record) + record.content_bytes.get();
    }
    wire::seal(key_in, memory);
    ASSERT_EQ(take(memory), Intake::Verdict::accepted);
    ASSERT_EQ(take(data_datagram(0, 0, 4)), Intake::Verdict::accepted);
    commit();
    intake.acknowledge(lane, collector_socket);
    std::set<std::uint16_t> acknowledged;
    for (auto const& ack : next_acks(sensor_socket)) {
        EXPECT_EQ(ack.body.next_slot.get(), 1U);
        acknowledged.insert(ack.header.stream.get());
    }
    EXPECT_EQ(acknowledged, (std::set<std::uint16_t>{1, 2}));
    ASSERT_TRUE(store.close());
    EXPECT_EQ(position_from_files(stream_folder(folder.path(), boot_a, wire::Stream::storage)), (StreamPosition{1, 4}));
    EXPECT_EQ(position_from_files(stream_folder(folder.path(), boot_a, wire::Stream::memory)), (StreamPosition{1, 3}));
}

TEST_F(IntakeTest, ACommandIsRepeatedUntilItsAnswerComes)
{
    ASSERT_EQ(take(data_datagram(0, 0, 3)), Intake::Verdict::accepted);
    wire::MemoryRequest request{};
    request.mode = std::uint16_t{4};
    auto const* const raw = reinterpret_cast<std::uint8_t const*>(&request);
    Counters own;
    Intake::Lane own_lane{own};
    std::expected<Intake::Answer, Intake::CommandFailure> answer = std::unexpected{Intake::CommandFailure::no_answer};
    std::thread asking{[&] {
        answer = intake.command(own_lane, collector_socket, boot_a.machine, wire::ControlCommand::memory,
                                {raw, sizeof(request)}, std::chrono::seconds{20});
    }};
    wire::CommandBody body{};
    for (int sent = 0; sent < 3; ++sent) { // the first two get lost
        pollfd descriptor{sensor_socket.fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&descriptor, 1, 5000), 1);
        ASSERT_EQ(sensor_socket.receive(), 1U);
        auto const datagram = sensor_socket.datagram(0).bytes;
        ASSERT_EQ(datagram.size(), wire::datagram_overhead + sizeof(body) + sizeof(request));
        wire::DatagramHeader header;
        std::memcpy(&header, datagram.data(), sizeof(header));
        ASSERT_EQ(header.type.get(), static_cast<std::uint8_t>(wire::Type::command));
        ASSERT_TRUE(wire::open(
            wire::derive_key(key, wire::Direction::from_collector, boot_a.machine, boot_a.boot, header.instance.get()),
            datagram));
        std::uint64_t const number = body.number.get();
        std::memcpy(&body, datagram.data() + sizeof(header), sizeof(body));
        if (sent > 0) {
            EXPECT_EQ(body.number.get(), number);
        }
        EXPECT_EQ(std::memcmp(datagram.data() + sizeof(header) + sizeof(body), raw, sizeof(request)), 0);
    }
    wire::AnswerBody said{};
    said.number = body.number.get() - 1; // of another command
    said.result = std::uint16_t{5};
    std::vector<std::uint8_t> plaintext(sizeof(said) + 4 * sizeof(wire::MemoryStatus));
    std::memcpy(plaintext.data(), &said, sizeof(said));
    EXPECT_EQ(take(sealed(wire::Type::answer, plaintext)), Intake::Verdict::accepted);
    said.number = body.number;
    std::memcpy(plaintext.data(), &said, sizeof(said));
    EXPECT_EQ(take(sealed(wire::Type::answer, plaintext)), Intake::Verdict::accepted);
    asking.join();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body.result.get(), 5U);
    EXPECT_EQ(answer->states.size(), 4U);
    plaintext.push_back(0);
    EXPECT_EQ(take(sealed(wire::Type::answer, plaintext)), Intake::Verdict::rejected);
}

TEST_F(IntakeTest, ACommandForNobodyOrWithoutAnswerFails)
{
    using Failure = Intake::CommandFailure;
    auto const ask = [&] {
        return intake.command(lane, collector_socket, boot_a.machine, wire::ControlCommand::stop, {},
                              std::chrono::milliseconds{50});
    };
    EXPECT_EQ(ask().error(), Failure::machine_unknown);
    take(data_datagram(0, 0, 3));
    EXPECT_EQ(ask().error(), Failure::no_answer);
}

TEST_F(IntakeTest, DuplicateIsAcknowledgedAgain)
{
    auto const datagram = data_datagram(0, 0, 3);
    take(datagram);
    commit();
    intake.acknowledge(lane, collector_socket);
    ASSERT_TRUE(next_ack(sensor_socket));
    take(datagram);
    intake.acknowledge(lane, collector_socket);
    auto const ack = next_ack(sensor_socket);
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->body.next_slot.get(), 1U);
    EXPECT_EQ(counters.get(Counter::records_stored), 3U);
}

TEST_F(IntakeTest, WrongKeyLeavesNoTrace)
{
    auto datagram = data_datagram(0, 0, 3);
    datagram[200] ^= 1;
    EXPECT_EQ(take(datagram), Intake::Verdict::rejected);
    EXPECT_EQ(lane.reject(), Counter::bad_tag);
    EXPECT_FALSE(lane.acks_due());
    EXPECT_EQ(intake.waiting_bytes(), 0U);
    EXPECT_FALSE(fs::exists(boot_folder(folder.path(), boot_a)));
}

TEST_F(IntakeTest, KeysAreReplacedWhileItRuns)
{
    ASSERT_EQ(take(data_datagram(0, 0, 3)), Intake::Verdict::accepted);
    wire::Key const other{8, 8, 8};
    intake.replace_keys(KeyRing::parse(to_hex(boot_a.machine) + " " + to_hex(other), "key"));
    EXPECT_EQ(take(data_datagram(1, 3, 3)), Intake::Verdict::rejected);
    EXPECT_EQ(lane.reject(), Counter::bad_tag);
    key = other;
    EXPECT_EQ(take(data_datagram(1, 3, 3)), Intake::Verdict::accepted);
    commit();
    intake.acknowledge(lane, collector_socket);
    auto const ack = next_ack(sensor_socket); // next_ack opens it with the new key
    ASSERT_TRUE(ack);

    Id stranger = boot_a.machine;
    stranger[0] ^= 1;
    intake.replace_keys(KeyRing::parse(to_hex(stranger) + " " + to_hex(other), "key"));
    EXPECT_EQ(take(data_datagram(2, 6, 3)), Intake::Verdict::rejected);
    EXPECT_EQ(lane.reject(), Counter::machine_without_key);
    intake.replace_keys(KeyRing::parse(to_hex(other), "key"));
    EXPECT_EQ(take(data_datagram(2, 6, 3)), Intake::Verdict::accepted);
}

TEST_F(IntakeTest, OtherMachinesAreKeptOut)
{
    Intake restricted{ring, {Id{1}}, store};
    Intake::Lane other{counters};
    auto datagram = data_datagram(0, 0, 3);
    EXPECT_EQ(restricted.take(other, datagram, sensor_peer, 1), Intake::Verdict::rejected);
    EXPECT_EQ(other.reject(), Counter::machine_not_wanted);
    Intake keyless{KeyRing::parse(to_hex(Id{1}) + " " + to_hex(key), "key"), {}, store};
    EXPECT_EQ(keyless.take(other, datagram, sensor_peer, 1), Intake::Verdict::rejected);
    EXPECT_EQ(other.reject(), Counter::machine_without_key);
}

TEST_F(IntakeTest, ReplayFromElsewhereDivertsNothing)
{
    auto const old = data_datagram(0, 0, 3);
    take(old);
    auto const newest = data_datagram(1, 3, 3);
    take(newest);
    Socket attacker{"127.0.0.1:0", 1 << 16};
    take(old, peer_of(attacker));
    take(newest, peer_of(attacker));
    commit();
    intake.acknowledge(lane, collector_socket);
    EXPECT_TRUE(next_ack(sensor_socket));
    EXPECT_FALSE(next_ack(attacker));
}

TEST_F(IntakeTest, HelloIsStoredAcknowledgedAndNotReplacedByAnOlderOne)
{
    std::vector<std::uint8_t> body(sizeof(wire::HelloBody));
    auto const old = sealed(wire::Type::hello, body);
    std::memcpy(body.data() + offsetof(wire::HelloBody, sensor_version), "newer", 5);
    ASSERT_EQ(take(sealed(wire::Type::hello, body)), Intake::Verdict::accepted);
    EXPECT_EQ(take(old), Intake::Verdict::rejected);
    EXPECT_EQ(lane.reject(), Counter::hello_stale);
    intake.acknowledge(lane, collector_socket);
    auto const ack = next_ack(sensor_socket);
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->header.stream.get(), static_cast<std::uint16_t>(wire::Stream::control));
    // The guard outlives the collector.
    Intake restarted{ring, {}, store};
    Intake::Lane fresh{counters};
    auto again = old;
    EXPECT_EQ(restarted.take(fresh, again, sensor_peer, 1), Intake::Verdict::rejected);
    EXPECT_EQ(fresh.reject(), Counter::hello_stale);
}

TEST_F(IntakeTest, StatusIsAnsweredSoThatAnIdleSensorLearnsOfARestart)
{
    std::vector<std::uint8_t> const body(sizeof(wire::StatusBody));
    ASSERT_EQ(take(sealed(wire::Type::status, body)), Intake::Verdict::accepted);
    intake.acknowledge(lane, collector_socket);
    auto const ack = next_ack(sensor_socket);
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->header.stream.get(), static_cast<std::uint16_t>(wire::Stream::storage));
    EXPECT_EQ(ack->body.next_slot.get(), 0U);
}

TEST(KeyRing, SaysWhatIsWrongWithTheFile)
{
    std::string const key(64, 'a');
    std::string const machine(32, '1');
    auto const error = [](std::string const& text) -> std::string {
        try {
            static_cast<void>(KeyRing::parse(text, "the.key"));
        } catch (KeyFileError const& caught) {
            return caught.what();
        }
        return "";
    };
    EXPECT_EQ(error(key + "\n"), "");
    EXPECT_EQ(error("# comment\n\n" + machine + " " + key + "\n"), "");
    EXPECT_NE(error(key.substr(1)).find("the.key line 1: the key is not 64"), std::string::npos);
    EXPECT_NE(error("\n" + machine + "1 " + key).find("line 2: the machine id"), std::string::npos);
    EXPECT_NE(error(machine + " " + key + " x").find("more than two words"), std::string::npos);
    EXPECT_NE(error(key + "\n" + key).find("a second key"), std::string::npos);
    EXPECT_NE(error(machine + " " + key + "\n" + machine + " " + key).find("has a key already"), std::string::npos);
    EXPECT_NE(error("# nothing\n").find("openssl rand -hex 32"), std::string::npos);
}

TEST(RefusedSenders, HintsAtTheKeyOnceAndNotTooOften)
{
    RefusedSenders refused;
    Peer const peer;
    std::chrono::steady_clock::time_point const start{};
    std::string text;
    int hints = 0;
    for (int i = 0; i < 1000; ++i) {
        auto const hint = refused.note(peer, Counter::bad_tag, start + std::chrono::milliseconds{i});
        if (!hint.empty()) {
            ++hints;
            text = hint;
        }
    }
    EXPECT_EQ(hints, 1);
    EXPECT_NE(text.find("is the key the same as in undercroft.conf?"), std::string::npos);
}

TEST(Socket, TakenPortSaysSo)
{
    Socket const first{"127.0.0.1:0", 1 << 16};
    try {
        Socket const second{first.local_address(), 1 << 16};
        FAIL() << "two sockets on one port";
    } catch (SocketError const& error) {
        EXPECT_NE(std::string{error.what()}.find("another collector may be running"), std::string::npos);
    }
    EXPECT_THROW((Socket{"nonsense", 1}), SocketError);
    EXPECT_THROW((Socket{"127.0.0.1:", 1}), SocketError);
}

} // namespace
} // namespace undercroft::collector
