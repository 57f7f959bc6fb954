// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The collector's commands (wire/datagram.hpp, Type::command): each number once, its answer as often as it is asked
// for.
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/control.hpp"
#include "wire/datagram.hpp"
#include "wire/memory.hpp"

namespace undercroft::net {

struct Command {
    std::uint64_t number = 0;
    wire::ControlCommand command{};
    wire::MemoryRequest memory{}; ///< command memory; judged by who carries it out
};

class CommandTarget {
public:
    /// On any CPU, without locks of the network. Fills in the modes' states in any case.
    [[nodiscard]] virtual wire::ControlResult carry_out(Command const& command,
                                                        std::span<wire::MemoryStatus, wire::memory_modes> states) = 0;

protected:
    ~CommandTarget() = default;
};

/// One command at a time: the next one is taken when the last has its answer. The holder's lock guards everything but
/// waiting().
class CommandBox {
public:
    using States = std::array<wire::MemoryStatus, wire::memory_modes>;

    /// A body that was authenticated. False: bad length, or a number below the last one.
    [[nodiscard]] bool offer(std::span<std::uint8_t const> body)
    {
        wire::CommandBody head;
        if (body.size() < sizeof(head))
            return false;
        __builtin_memcpy(&head, body.data(), sizeof(head));
        Command command{.number = head.number.get(), .command = static_cast<wire::ControlCommand>(head.command.get())};
        bool const memory = command.command == wire::ControlCommand::memory;
        if (body.size() != sizeof(head) + (memory ? sizeof(command.memory) : 0) || head.reserved0.get() != 0 ||
            head.reserved1.get() != 0 || command.number == 0 || command.number < last_.number)
            return false;
        if (command.number == last_.number) {
            answer_due_ = answered_;
            return true;
        }
        if (waiting_.load(std::memory_order_relaxed))
            return true; // busy with the one before; it comes again
        if (memory)
            __builtin_memcpy(&command.memory, body.data() + sizeof(head), sizeof(command.memory));
        last_ = command;
        answered_ = answer_due_ = false;
        waiting_.store(true, std::memory_order_release);
        return true;
    }
    /// A command waits to be carried out. Any CPU.
    [[nodiscard]] bool waiting() const { return waiting_.load(std::memory_order_acquire); }
    /// The command that waits, for one caller.
    [[nodiscard]] std::optional<Command> take()
    {
        if (!waiting() || taken_)
            return std::nullopt;
        taken_ = true;
        return last_;
    }
    void answer(wire::ControlResult result, States const& states)
    {
        result_ = result;
        states_ = states;
        taken_ = false;
        answered_ = answer_due_ = true;
        waiting_.store(false, std::memory_order_release);
    }

    [[nodiscard]] bool answer_due() const { return answer_due_; }
    void answer_sent() { answer_due_ = false; }
    /// The answer's body, as many states as fit; returns its length.
    std::size_t write_answer(std::span<std::uint8_t> into) const
    {
        wire::AnswerBody head{};
        head.number = last_.number;
        head.command = static_cast<std::uint16_t>(last_.command);
        head.result = static_cast<std::uint16_t>(result_);
        std::size_t bytes = sizeof(head);
        if (into.size() < bytes)
            return 0;
        __builtin_memcpy(into.data(), &head, sizeof(head));
        for (wire::MemoryStatus const& state : states_) {
            if (into.size() - bytes < sizeof(state))
                break;
            __builtin_memcpy(into.data() + bytes, &state, sizeof(state));
            bytes += sizeof(state);
        }
        return bytes;
    }

private:
    Command last_{};
    wire::ControlResult result_{};
    States states_{};
    bool taken_ = false, answered_ = false, answer_due_ = false;
    std::atomic<bool> waiting_{false};
};

} // namespace undercroft::net
