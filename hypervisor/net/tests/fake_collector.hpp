// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A collector written from wire/datagram.hpp alone, for tests: opens, reassembles,
// puts slots in order, acknowledges. Durable means: kept in `records`, which a restart
// with another instance keeps too.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "wire/record.hpp"
#include "wire/seal.hpp"

namespace undercroft::net {

using Bytes = std::vector<std::uint8_t>;

struct TestIdentity {
    std::array<std::uint8_t, 16> machine{1, 2, 3}, boot{9, 8, 7};
    wire::Key key{5, 5, 5};
};

class FakeCollector {
public:
    explicit FakeCollector(TestIdentity const& identity, std::uint64_t instance)
        : identity_{identity}, instance_{instance}
    {
        receive_key_ = wire::derive_key(identity.key, wire::Direction::from_sensor, identity.machine, identity.boot, 0);
    }

    struct Stored {
        std::uint64_t sequence;
        wire::Record record;
        std::vector<std::uint8_t> content;
    };
    std::vector<Stored> stored;
    std::uint64_t next_sequence = 0, gaps = 0, next_slot = 0;
    std::uint64_t slot_limit = 0; ///< told in acknowledgements of the storage stream
    unsigned hellos = 0, statuses = 0, bad = 0, data = 0;
    wire::HelloBody last_hello{};
    wire::StatusBody last_status{};
    std::vector<wire::DiskInfo> disks;
    std::map<unsigned, std::uint64_t> counters;

    void restart(std::uint64_t instance)
    {
        instance_ = instance;
        counter_ = 0;
        highest_ = 0;
        partial_.clear();
    }

    /// What to answer.
    std::vector<Bytes> on_datagram(Bytes bytes)
    {
        if (!wire::open(receive_key_, bytes)) {
            ++bad;
            return {};
        }
        wire::DatagramHeader header;
        std::memcpy(&header, bytes.data(), sizeof(header));
        EXPECT_TRUE(std::equal(identity_.machine.begin(), identity_.machine.end(), header.machine_id));
        EXPECT_EQ(header.instance.get(), 0U);
        highest_ = std::max(highest_, header.counter.get());
        EXPECT_TRUE(seen_.insert(header.counter.get()).second || true);
        std::uint8_t const* const body = bytes.data() + sizeof(header);
        std::size_t const size = header.sealed_bytes.get();
        switch (static_cast<wire::Type>(header.type.get())) {
        case wire::Type::hello:
            return on_hello(body, size);
        case wire::Type::status:
            on_status(header, body, size);
            return {};
        case wire::Type::data:
            return on_data(header, body, size);
        default:
            ADD_FAILURE() << "type " << header.type.get();
            return {};
        }
    }

    Bytes make_ack(wire::Stream stream, std::uint64_t next, std::vector<wire::AckEntry> const& entries)
    {
        wire::DatagramHeader header{};
        header.magic = wire::datagram_magic;
        header.version = wire::datagram_version;
        header.type = static_cast<std::uint8_t>(wire::Type::ack);
        header.stream = static_cast<std::uint16_t>(stream);
        std::copy(identity_.machine.begin(), identity_.machine.end(), header.machine_id);
        std::copy(identity_.boot.begin(), identity_.boot.end(), header.boot_id);
        header.instance = instance_;
        header.counter = ++counter_;
        header.first_sequence = stream == wire::Stream::storage ? slot_limit : 0;
        header.count = static_cast<std::uint32_t>(entries.size());
        wire::AckBody body{};
        body.next_slot = next;
        body.highest_counter = highest_;
        std::size_t const sealed = sizeof(body) + entries.size() * sizeof(wire::AckEntry);
        header.sealed_bytes = static_cast<std::uint32_t>(sealed);
        Bytes bytes(wire::datagram_overhead + sealed);
        std::memcpy(bytes.data(), &header, sizeof(header));
        std::memcpy(bytes.data() + sizeof(header), &body, sizeof(body));
        if (!entries.empty())
            std::memcpy(bytes.data() + sizeof(header) + sizeof(body), entries.data(),
                        entries.size() * sizeof(wire::AckEntry));
        wire::seal(wire::derive_key(identity_.key, wire::Direction::from_collector, identity_.machine, identity_.boot,
                                    instance_),
                   bytes);
        return bytes;
    }

private:
    struct Partial {
        std::vector<std::uint8_t> bytes;
        std::uint64_t received = 0;
        std::uint32_t fragments = 0;
        std::uint64_t first_sequence = 0;
        std::uint32_t records = 0;
        bool complete() const { return static_cast<std::uint32_t>(std::popcount(received)) == fragments; }
    };

    std::vector<Bytes> on_hello(std::uint8_t const* body, std::size_t size)
    {
        ++hellos;
        std::memcpy(&last_hello, body, sizeof(last_hello));
        EXPECT_EQ(size, sizeof(last_hello) + last_hello.disks.get() * sizeof(wire::DiskInfo));
        disks.resize(last_hello.disks.get());
        if (!disks.empty())
            std::memcpy(disks.data(), body + sizeof(last_hello), disks.size() * sizeof(wire::DiskInfo));
        return {make_ack(wire::Stream::control, 0, {})};
    }

    void on_status(wire::DatagramHeader const& header, std::uint8_t const* body, std::size_t size)
    {
        ++statuses;
        std::memcpy(&last_status, body, sizeof(last_status));
        ASSERT_EQ(size, sizeof(last_status) + header.count.get() * sizeof(wire::Counter));
        for (std::uint32_t i = 0; i < header.count.get(); ++i) {
            wire::Counter counter;
            std::memcpy(&counter, body + sizeof(last_status) + i * sizeof(counter), sizeof(counter));
            counters[counter.id.get()] = counter.value.get();
        }
    }

    std::vector<Bytes> on_data(wire::DatagramHeader const& header, std::uint8_t const* body, std::size_t size)
    {
        ++data;
        wire::DataBody part;
        std::memcpy(&part, body, sizeof(part));
        std::size_t const bytes = size - sizeof(part);
        EXPECT_LE(part.slot_bytes.get(), wire::max_slot_bytes);
        EXPECT_LT(part.index.get(), part.fragments.get());
        EXPECT_LE(part.fragments.get(), wire::max_fragments);
        EXPECT_LE(part.offset.get() + bytes, part.slot_bytes.get());
        EXPECT_LE(part.oldest_slot.get(), part.slot.get());
        if (part.slot.get() >= next_slot) {
            Partial& partial = partial_[part.slot.get()];
            partial.bytes.resize(part.slot_bytes.get());
            partial.fragments = part.fragments.get();
            partial.first_sequence = header.first_sequence.get();
            partial.records = header.count.get();
            partial.received |= std::uint64_t{1} << part.index.get();
            std::memcpy(partial.bytes.data() + part.offset.get(), body + sizeof(part), bytes);
        }
        while (!partial_.empty() && partial_.begin()->first == next_slot && partial_.begin()->second.complete()) {
            store(partial_.begin()->second);
            partial_.erase(partial_.begin());
            ++next_slot;
        }
        std::vector<wire::AckEntry> entries;
        for (auto const& [slot, partial] : partial_) {
            wire::AckEntry entry{};
            entry.slot = slot;
            entry.received = partial.received;
            if (entries.size() < wire::max_ack_entries)
                entries.push_back(entry);
        }
        return {make_ack(static_cast<wire::Stream>(header.stream.get()), next_slot, entries)};
    }

    void store(Partial const& slot)
    {
        EXPECT_GE(slot.first_sequence, next_sequence);
        gaps += slot.first_sequence - next_sequence;
        next_sequence = slot.first_sequence;
        std::uint32_t records = 0;
        for (std::size_t at = 0; at < slot.bytes.size(); ++records) {
            Stored item{next_sequence++, {}, {}};
            ASSERT_LE(at + sizeof(item.record), slot.bytes.size());
            std::memcpy(&item.record, slot.bytes.data() + at, sizeof(item.record));
            at += sizeof(item.record);
            std::uint32_t const content = item.record.content_bytes.get();
            ASSERT_LE(at + content, slot.bytes.size());
            auto const from = slot.bytes.begin() + static_cast<std::ptrdiff_t>(at);
            item.content.assign(from, from + content);
            at += content;
            stored.push_back(std::move(item));
        }
        EXPECT_EQ(records, slot.records);
    }

    TestIdentity identity_;
    std::uint64_t instance_;
    std::uint64_t counter_ = 0, highest_ = 0;
    wire::Key receive_key_;
    std::map<std::uint64_t, Partial> partial_;
    std::set<std::uint64_t> seen_;
};

} // namespace undercroft::net
