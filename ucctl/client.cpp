// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "ucctl/client.hpp"

#include <algorithm>
#include <cstring>

namespace undercroft::ucctl {
namespace {

using wire::ControlAnswer;
using wire::ControlCommand;
using wire::ControlHeader;
using wire::ControlKind;
using wire::ControlResult;

/// The firmware's clock, from which the sensor takes its start time, may run in local time (up to 14 hours ahead of
/// UTC) while ours does not. A second attempt from a day ahead covers that.
constexpr std::uint64_t retry_ahead_ns = 26ULL * 3600 * 1'000'000'000;

Error bad_answer(char const* text)
{
    return {Failure::bad_answer, text};
}

template <typename T>
T read_struct(std::vector<std::uint8_t> const& bytes)
{
    T value;
    std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof(value));
    return value;
}

char const* text_of(ControlResult result)
{
    switch (result) {
    case ControlResult::unknown_command:
        return "the sensor does not know this command (is it older than ucctl?)";
    case ControlResult::bad_request:
        return "the sensor did not accept the request's arguments";
    case ControlResult::buffer_too_small:
        return "the answer does not fit the buffer";
    case ControlResult::not_possible:
        return "the processor or the sensor's configuration lacks what this needs";
    case ControlResult::busy:
        return "another memory mode that needs the same tables runs: stop it first";
    case ControlResult::done:
        break;
    }
    return "the sensor refused the command for a reason that this ucctl does not know";
}

} // namespace

Client::Client(wire::Key const& control_key, Machine& machine) : control_key_{control_key}, machine_{&machine} {}

Result<std::vector<std::uint8_t>> Client::exchange(ControlCommand command, std::uint64_t argument,
                                                   std::span<std::uint8_t const> more, wire::BootId const& boot_id)
{
    ControlHeader header{};
    header.magic = wire::control_magic;
    header.version = wire::control_version;
    header.kind = static_cast<std::uint8_t>(ControlKind::request);
    last_counter_ = std::max(machine_->utc_ns() + ahead_ns_, last_counter_ + 1);
    header.counter = last_counter_;
    machine_->fill_random(header.request_id);
    machine_->fill_random(header.nonce);
    std::copy(boot_id.begin(), boot_id.end(), header.boot_id);
    header.sealed_bytes = static_cast<std::uint32_t>(sizeof(wire::ControlRequest) + more.size());
    wire::ControlRequest body{};
    body.command = static_cast<std::uint16_t>(command);
    body.argument = argument;

    auto const buffer = machine_->buffer();
    std::ranges::fill(buffer, std::uint8_t{0});
    std::memcpy(buffer.data(), &header, sizeof(header));
    std::memcpy(buffer.data() + sizeof(header), &body, sizeof(body));
    std::ranges::copy(more, buffer.begin() + sizeof(header) + sizeof(body));
    wire::seal_control(derive_control_key(control_key_, ControlKind::request, boot_id),
                       buffer.first(wire::control_overhead + sizeof(body) + more.size()));
    if (!machine_->hypercall())
        return std::unexpected(Error{Failure::no_answer, "no sensor answered: not running here, or the key is wrong"});
    return open_answer(header, command);
}

Result<std::vector<std::uint8_t>> Client::open_answer(ControlHeader const& request, ControlCommand command) const
{
    auto const buffer = machine_->buffer();
    std::size_t const bytes = wire::control_message_bytes(buffer, ControlKind::answer);
    if (bytes == 0) // other hypervisors let unknown hypercalls pass without #UD and leave the buffer alone
        return std::unexpected(Error{Failure::no_answer, "no sensor answered: another hypervisor took the call"});
    ControlHeader header;
    std::memcpy(static_cast<void*>(&header), buffer.data(), sizeof(header));
    wire::BootId boot_id;
    std::copy(std::begin(header.boot_id), std::end(header.boot_id), boot_id.begin());
    bool const ours = header.counter == request.counter &&
                      std::equal(std::begin(header.request_id), std::end(header.request_id), request.request_id) &&
                      (!connected_ || boot_id == boot_id_);
    if (!ours ||
        !wire::open_control(derive_control_key(control_key_, ControlKind::answer, boot_id), buffer.first(bytes)))
        return std::unexpected(bad_answer("the answer is not from a sensor with this key"));

    std::vector<std::uint8_t> text(buffer.begin() + sizeof(header),
                                   buffer.begin() + static_cast<std::ptrdiff_t>(bytes - wire::tag_bytes));
    if (text.size() < sizeof(ControlAnswer))
        return std::unexpected(bad_answer("the answer is too short"));
    auto const answer = read_struct<ControlAnswer>(text);
    text.erase(text.begin(), text.begin() + sizeof(ControlAnswer));
    if (answer.command.get() != static_cast<std::uint16_t>(command) || answer.body_bytes.get() != text.size())
        return std::unexpected(bad_answer("the answer's fields do not fit the request"));
    if (auto const result = static_cast<ControlResult>(answer.result.get()); result != ControlResult::done)
        return std::unexpected(Error{Failure::refused, text_of(result)});
    return text;
}

Result<wire::ControlHello> Client::hello()
{
    connected_ = false;
    auto body = exchange(ControlCommand::hello, 0, {}, wire::BootId{});
    if (!body && body.error().failure == Failure::no_answer) {
        ahead_ns_ = retry_ahead_ns;
        auto again = exchange(ControlCommand::hello, 0, {}, wire::BootId{});
        if (again || again.error().failure != Failure::no_answer)
            body = std::move(again);
    }
    if (!body)
        return std::unexpected(body.error());
    if (body->size() < sizeof(wire::ControlHello))
        return std::unexpected(bad_answer("the sensor's greeting is too short"));
    auto const hello = read_struct<wire::ControlHello>(*body);
    std::copy(std::begin(hello.boot_id), std::end(hello.boot_id), boot_id_.begin());
    connected_ = true;
    return hello;
}

Result<std::vector<std::uint8_t>> Client::request(ControlCommand command, std::uint64_t argument,
                                                  std::span<std::uint8_t const> more)
{
    if (!connected_) {
        if (auto const greeted = hello(); !greeted)
            return std::unexpected(greeted.error());
    }
    return exchange(command, argument, more, boot_id_);
}

template <typename T>
Result<T> Client::fixed(ControlCommand command)
{
    auto const body = request(command, 0);
    if (!body)
        return std::unexpected(body.error());
    if (body->size() < sizeof(T))
        return std::unexpected(bad_answer("the answer is shorter than this ucctl expects"));
    return read_struct<T>(*body);
}

Result<wire::ControlStatus> Client::status()
{
    return fixed<wire::ControlStatus>(ControlCommand::status);
}

Result<wire::ControlStatus> Client::set_capture(bool on)
{
    return fixed<wire::ControlStatus>(on ? ControlCommand::start : ControlCommand::stop);
}

Result<LogPart> Client::log(std::uint64_t cursor)
{
    auto const body = request(ControlCommand::log, cursor);
    if (!body)
        return std::unexpected(body.error());
    if (body->size() < sizeof(wire::ControlLog))
        return std::unexpected(bad_answer("the log's answer is too short"));
    auto const head = read_struct<wire::ControlLog>(*body);
    if (head.text_bytes.get() != body->size() - sizeof(head))
        return std::unexpected(bad_answer("the log's answer has another length than it says"));
    return LogPart{head.next.get(), head.lost.get(), std::string(body->begin() + sizeof(head), body->end())};
}

Result<std::vector<wire::Counter>> Client::counters()
{
    auto const body = request(ControlCommand::counters, 0);
    if (!body)
        return std::unexpected(body.error());
    if (body->size() % sizeof(wire::Counter) != 0)
        return std::unexpected(bad_answer("the counters' answer has an odd length"));
    std::vector<wire::Counter> list(body->size() / sizeof(wire::Counter));
    if (!list.empty())
        std::memcpy(static_cast<void*>(list.data()), body->data(), body->size());
    return list;
}

Result<std::vector<wire::MemoryStatus>> Client::memory(wire::MemoryRequest const& request)
{
    std::span const more{reinterpret_cast<std::uint8_t const*>(&request), sizeof(request)};
    auto const body = this->request(ControlCommand::memory, 0, more);
    if (!body)
        return std::unexpected(body.error());
    std::vector<wire::MemoryStatus> states(body->size() / sizeof(wire::MemoryStatus));
    if (states.empty() || body->size() % sizeof(wire::MemoryStatus) != 0)
        return std::unexpected(bad_answer("the memory monitor's answer has an odd length"));
    std::memcpy(static_cast<void*>(states.data()), body->data(), body->size());
    return states;
}

} // namespace undercroft::ucctl
