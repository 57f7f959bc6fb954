// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/ingest/decode.hpp"

#include <limits>

namespace undercroft::collector {
namespace {

using Bytes = std::span<std::uint8_t const>;

template <typename T>
T load(Bytes bytes)
{
    T value;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
}

bool data_fields_valid(DataFragment const& data)
{
    if (data.slot_bytes == 0 || data.slot_bytes > wire::max_slot_bytes || data.bytes.empty())
        return false;
    if (data.fragments == 0 || data.fragments > wire::max_fragments || data.index >= data.fragments)
        return false;
    if (data.offset > data.slot_bytes || data.bytes.size() > data.slot_bytes - data.offset)
        return false;
    bool const is_first = data.index == 0;
    bool const is_last = data.index + 1 == data.fragments;
    if (is_first != (data.offset == 0) || is_last != (data.offset + data.bytes.size() == data.slot_bytes))
        return false;
    if (data.count == 0 || data.first_sequence > std::numeric_limits<std::uint64_t>::max() - data.count)
        return false;
    return data.oldest_slot <= data.slot && data.slot < std::numeric_limits<std::uint64_t>::max();
}

std::expected<Message, Counter> decode_data(wire::DatagramHeader const& header, Bytes plaintext)
{
    auto const stream = static_cast<wire::Stream>(header.stream.get());
    if (stream != wire::Stream::storage && stream != wire::Stream::memory)
        return std::unexpected{Counter::stream_unsupported};
    if (plaintext.size() < sizeof(wire::DataBody))
        return std::unexpected{Counter::data_malformed};
    auto const body = load<wire::DataBody>(plaintext);
    DataFragment const data{
        .stream = stream,
        .counter = header.counter.get(),
        .first_sequence = header.first_sequence.get(),
        .count = header.count.get(),
        .slot = body.slot.get(),
        .oldest_slot = body.oldest_slot.get(),
        .slot_bytes = body.slot_bytes.get(),
        .offset = body.offset.get(),
        .index = body.index.get(),
        .fragments = body.fragments.get(),
        .bytes = plaintext.subspan(sizeof(wire::DataBody)),
    };
    if (!data_fields_valid(data))
        return std::unexpected{Counter::data_malformed};
    return data;
}

std::expected<Message, Counter> decode_hello(wire::DatagramHeader const& header, Bytes plaintext)
{
    if (plaintext.size() < sizeof(wire::HelloBody))
        return std::unexpected{Counter::hello_malformed};
    HelloMessage const hello{header.counter.get(), load<wire::HelloBody>(plaintext),
                             plaintext.subspan(sizeof(wire::HelloBody))};
    std::size_t const disks = hello.body.disks.get();
    if (disks > wire::max_hello_disks || hello.disks.size() != disks * sizeof(wire::DiskInfo))
        return std::unexpected{Counter::hello_malformed};
    return hello;
}

std::expected<Message, Counter> decode_status(wire::DatagramHeader const& header, Bytes plaintext)
{
    if (plaintext.size() < sizeof(wire::StatusBody))
        return std::unexpected{Counter::status_malformed};
    StatusMessage const status{header.counter.get(), load<wire::StatusBody>(plaintext),
                               plaintext.subspan(sizeof(wire::StatusBody))};
    if (status.counters.size() != header.count.get() * sizeof(wire::Counter))
        return std::unexpected{Counter::status_malformed};
    return status;
}

std::expected<Message, Counter> decode_answer(Bytes plaintext)
{
    if (plaintext.size() < sizeof(wire::AnswerBody))
        return std::unexpected{Counter::answer_malformed};
    AnswerMessage const answer{load<wire::AnswerBody>(plaintext), plaintext.subspan(sizeof(wire::AnswerBody))};
    if (answer.states.size() % sizeof(wire::MemoryStatus) != 0 ||
        answer.states.size() > wire::memory_modes * sizeof(wire::MemoryStatus))
        return std::unexpected{Counter::answer_malformed};
    return answer;
}

} // namespace

std::expected<wire::DatagramHeader, Counter> check_header(Bytes datagram)
{
    if (datagram.size() < wire::datagram_overhead)
        return std::unexpected{Counter::datagram_too_short};
    auto const header = load<wire::DatagramHeader>(datagram);
    if (header.magic.get() != wire::datagram_magic)
        return std::unexpected{Counter::bad_magic};
    if (header.version.get() != wire::datagram_version)
        return std::unexpected{Counter::wrong_version};
    if (header.sealed_bytes.get() != datagram.size() - wire::datagram_overhead)
        return std::unexpected{Counter::wrong_size};
    auto const type = static_cast<wire::Type>(header.type.get());
    if (type != wire::Type::hello && type != wire::Type::data && type != wire::Type::status &&
        type != wire::Type::answer)
        return std::unexpected{Counter::wrong_type};
    if (header.instance.get() != 0)
        return std::unexpected{Counter::wrong_instance};
    return header;
}

std::expected<Message, Counter> decode(Bytes datagram)
{
    auto const header = check_header(datagram);
    if (!header)
        return std::unexpected{header.error()};
    Bytes const plaintext = datagram.subspan(sizeof(wire::DatagramHeader), header->sealed_bytes.get());
    switch (static_cast<wire::Type>(header->type.get())) {
    case wire::Type::data:
        return decode_data(*header, plaintext);
    case wire::Type::hello:
        return decode_hello(*header, plaintext);
    case wire::Type::status:
        return decode_status(*header, plaintext);
    case wire::Type::answer:
        return decode_answer(plaintext);
    case wire::Type::ack:
    case wire::Type::command:
        break;
    }
    return std::unexpected{Counter::wrong_type};
}

BootKey boot_key_of(wire::DatagramHeader const& header)
{
    BootKey key;
    std::memcpy(key.machine.data(), header.machine_id, sizeof(header.machine_id));
    std::memcpy(key.boot.data(), header.boot_id, sizeof(header.boot_id));
    return key;
}

} // namespace undercroft::collector
