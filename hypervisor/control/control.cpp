// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/control/control.hpp"

namespace undercroft::control {
namespace {

using wire::ControlAnswer;
using wire::ControlCommand;
using wire::ControlHeader;
using wire::ControlKind;
using wire::ControlRequest;
using wire::ControlResult;

template <std::size_t N>
void copy_text(std::string_view text, char (&into)[N])
{
    for (std::size_t i = 0; i < N; ++i)
        into[i] = i < text.size() ? text[i] : '\0';
}

bool fits_contract(std::uint64_t address, std::uint64_t bytes)
{
    return address % wire::control_page_bytes == 0 && bytes != 0 && bytes % wire::control_page_bytes == 0 &&
           bytes <= wire::max_control_buffer && address + bytes > address;
}

template <typename T>
ControlResult put_body(T const& body, std::span<std::uint8_t> room, std::size_t& body_bytes)
{
    if (room.size() < sizeof(body))
        return ControlResult::buffer_too_small;
    __builtin_memcpy(room.data(), &body, sizeof(body));
    body_bytes = sizeof(body);
    return ControlResult::done;
}

ControlResult put_log(ControlTarget& target, std::uint64_t cursor, std::span<std::uint8_t> room,
                      std::size_t& body_bytes)
{
    if (room.size() < sizeof(wire::ControlLog) + core::LogRing::min_read_bytes)
        return ControlResult::buffer_too_small;
    std::span const text = room.subspan(sizeof(wire::ControlLog));
    core::LogRead const read = target.log(cursor, {reinterpret_cast<char*>(text.data()), text.size()});
    wire::ControlLog head{};
    head.next = read.next;
    head.lost = read.lost;
    head.text_bytes = static_cast<std::uint32_t>(read.bytes);
    __builtin_memcpy(room.data(), &head, sizeof(head));
    body_bytes = sizeof(head) + read.bytes;
    return ControlResult::done;
}

ControlResult put_memory(ControlTarget& target, wire::MemoryRequest const& request, std::span<std::uint8_t> room,
                         std::size_t& body_bytes)
{
    std::array<wire::MemoryStatus, wire::memory_modes> states{};
    if (room.size() < sizeof(states))
        return ControlResult::buffer_too_small;
    ControlResult const result = target.memory(request, states);
    return result == ControlResult::done ? put_body(states, room, body_bytes) : result;
}

} // namespace

void ControlServer::set_up(ControlIdentity const& identity, ControlTarget& target)
{
    hello_key_ = derive_control_key(identity.control_key, ControlKind::request, wire::BootId{});
    request_key_ = derive_control_key(identity.control_key, ControlKind::request, identity.boot_id);
    answer_key_ = derive_control_key(identity.control_key, ControlKind::answer, identity.boot_id);
    boot_id_ = identity.boot_id;
    last_counter_ = identity.start.value;
    __builtin_memcpy(hello_.boot_id, identity.boot_id.data(), sizeof(hello_.boot_id));
    __builtin_memcpy(hello_.machine_id, identity.machine_id.data(), sizeof(hello_.machine_id));
    copy_text(identity.sensor_version, hello_.sensor_version);
    copy_text(identity.cpu_backend, hello_.cpu_backend);
    target_ = &target;
}

Answer ControlServer::handle(std::uint64_t rax, std::uint64_t rdi, std::uint64_t rsi, GuestVirtualMemory& memory)
{
    if (target_ == nullptr)
        return Answer::inject_undefined;
    if (rax == wire::control_hypercall && fits_contract(rdi, rsi)) {
        core::SpinGuard guard{lock_};
        if (serve(Gva{rdi}, static_cast<std::size_t>(rsi), memory))
            return Answer::done;
    }
    return Answer::inject_undefined;
}

bool ControlServer::serve(Gva buffer, std::size_t buffer_bytes, GuestVirtualMemory& memory)
{
    // The one and only look at the request: the guest may change it at any time.
    if (!memory.read(buffer, std::as_writable_bytes(std::span{request_})))
        return false;
    ControlHeader header;
    Question question{};
    if (!accept(request_, header, question))
        return false;
    std::size_t const bytes = compose(header, question, buffer_bytes);
    return memory.write(buffer, std::as_bytes(std::span{answer_}.first(bytes)));
}

bool ControlServer::accept(std::span<std::uint8_t> copy, ControlHeader& header, Question& question)
{
    constexpr std::size_t plain_bytes = wire::control_overhead + sizeof(ControlRequest);
    std::size_t const bytes = wire::control_message_bytes(copy, ControlKind::request);
    if (bytes != plain_bytes && bytes != plain_bytes + sizeof(wire::MemoryRequest))
        return false;
    __builtin_memcpy(&header, copy.data(), sizeof(header));
    wire::BootId boot_id;
    __builtin_memcpy(boot_id.data(), header.boot_id, boot_id.size());
    bool const is_hello = boot_id == wire::BootId{};
    // A wrong boot id fails at the tag like a wrong key: the derived keys differ.
    if (!wire::open_control(is_hello ? hello_key_ : request_key_, copy.first(bytes)))
        return false;
    std::uint8_t const* const body = copy.data() + sizeof(header);
    __builtin_memcpy(&question.request, body, sizeof(question.request));
    question.has_memory = bytes != plain_bytes;
    if (question.has_memory)
        __builtin_memcpy(&question.memory, body + sizeof(question.request), sizeof(question.memory));
    bool const asks_hello = question.request.command.get() == static_cast<std::uint16_t>(ControlCommand::hello);
    bool const right_boot = is_hello ? asks_hello : !asks_hello && boot_id == boot_id_;
    if (!right_boot || header.counter.get() <= last_counter_)
        return false;
    last_counter_ = header.counter.get();
    return true;
}

std::size_t ControlServer::compose(ControlHeader const& header, Question const& question, std::size_t buffer_bytes)
{
    std::size_t const body_at = sizeof(ControlHeader) + sizeof(ControlAnswer);
    std::size_t const room = buffer_bytes - body_at - wire::tag_bytes;
    std::size_t body_bytes = 0;
    ControlAnswer answer{};
    answer.command = question.request.command.get();
    ControlResult const result = compose_body(question, std::span{answer_}.subspan(body_at, room), body_bytes);
    answer.result = static_cast<std::uint16_t>(result);
    answer.body_bytes = static_cast<std::uint32_t>(body_bytes);

    ControlHeader reply = header;
    reply.kind = static_cast<std::uint8_t>(ControlKind::answer);
    __builtin_memcpy(reply.boot_id, boot_id_.data(), sizeof(reply.boot_id));
    wire::AeadNonce const nonce = wire::control_answer_nonce(header.counter.get());
    __builtin_memcpy(reply.nonce, nonce.data(), sizeof(reply.nonce));
    reply.sealed_bytes = static_cast<std::uint32_t>(sizeof(ControlAnswer) + body_bytes);
    __builtin_memcpy(answer_.data(), &reply, sizeof(reply));
    __builtin_memcpy(answer_.data() + sizeof(reply), &answer, sizeof(answer));
    std::size_t const bytes = body_at + body_bytes + wire::tag_bytes;
    wire::seal_control(answer_key_, std::span{answer_}.first(bytes));
    return bytes;
}

ControlResult ControlServer::compose_body(Question const& question, std::span<std::uint8_t> room,
                                          std::size_t& body_bytes)
{
    ControlRequest const& request = question.request;
    bool const takes_argument = request.command.get() == static_cast<std::uint16_t>(ControlCommand::log);
    bool const takes_memory = request.command.get() == static_cast<std::uint16_t>(ControlCommand::memory);
    if (request.reserved0.get() != 0 || request.reserved1.get() != 0 ||
        (request.argument.get() != 0 && !takes_argument) || question.has_memory != takes_memory)
        return ControlResult::bad_request;
    wire::ControlStatus status{};
    switch (static_cast<ControlCommand>(request.command.get())) {
    case ControlCommand::hello:
        return put_body(hello_, room, body_bytes);
    case ControlCommand::start:
    case ControlCommand::stop:
        target_->set_capture(request.command.get() == static_cast<std::uint16_t>(ControlCommand::start));
        [[fallthrough]];
    case ControlCommand::status:
        target_->status(status);
        return put_body(status, room, body_bytes);
    case ControlCommand::log:
        return put_log(*target_, request.argument.get(), room, body_bytes);
    case ControlCommand::counters: {
        // Counters are bytes to the compiler's eye (Le), so any address is aligned for them.
        std::span const list{reinterpret_cast<wire::Counter*>(room.data()), room.size() / sizeof(wire::Counter)};
        std::size_t const count = target_->counters(list);
        body_bytes = (count < list.size() ? count : list.size()) * sizeof(wire::Counter);
        return ControlResult::done;
    }
    case ControlCommand::memory:
        return put_memory(*target_, question.memory, room, body_bytes);
    }
    return ControlResult::unknown_command;
}

} // namespace undercroft::control
