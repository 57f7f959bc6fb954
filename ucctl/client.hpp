// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// ucctl's end of the control protocol (wire/control.hpp); nothing here depends on the operating system.
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "wire/control_seal.hpp"
#include "wire/memory.hpp"

namespace undercroft::ucctl {

/// What the client needs from the machine it runs on.
class Machine {
public:
    /// The page-aligned, resident buffer that calls are made with; always the same.
    [[nodiscard]] virtual std::span<std::uint8_t> buffer() = 0;
    /// Makes the hypercall. False: the processor knew no such instruction (#UD), or nobody took it.
    [[nodiscard]] virtual bool hypercall() = 0;
    virtual void fill_random(std::span<std::uint8_t> into) = 0;
    [[nodiscard]] virtual std::uint64_t utc_ns() = 0;

protected:
    ~Machine() = default;
};

enum class Failure : std::uint8_t {
    no_answer,  ///< no sensor here, or another key
    bad_answer, ///< something answered, but not a sensor with this key
    refused,    ///< the sensor does not know the command or cannot serve it
};

struct Error {
    Failure failure;
    std::string text;
};
template <typename T>
using Result = std::expected<T, Error>;

struct LogPart {
    std::uint64_t next = 0;
    std::uint64_t lost = 0;
    std::string text;
};

class Client {
public:
    Client(wire::Key const& control_key, Machine& machine);

    /// Learns the sensor's boot id; every other call does it first when it has not happened yet.
    [[nodiscard]] Result<wire::ControlHello> hello();
    [[nodiscard]] Result<wire::ControlStatus> status();
    [[nodiscard]] Result<wire::ControlStatus> set_capture(bool on);
    [[nodiscard]] Result<LogPart> log(std::uint64_t cursor);
    [[nodiscard]] Result<std::vector<wire::Counter>> counters();

    /// Each mode's state, after the request was carried out.
    [[nodiscard]] Result<std::vector<wire::MemoryStatus>> memory(wire::MemoryRequest const& request);

private:
    using Body = std::vector<std::uint8_t>;
    [[nodiscard]] Result<Body> request(wire::ControlCommand command, std::uint64_t argument,
                                       std::span<std::uint8_t const> more = {});
    [[nodiscard]] Result<Body> exchange(wire::ControlCommand command, std::uint64_t argument,
                                        std::span<std::uint8_t const> more, wire::BootId const& boot_id);
    [[nodiscard]] Result<Body> open_answer(wire::ControlHeader const& request, wire::ControlCommand command) const;
    template <typename T>
    [[nodiscard]] Result<T> fixed(wire::ControlCommand command);

    wire::Key control_key_;
    Machine* machine_;
    wire::BootId boot_id_{};
    bool connected_ = false;
    std::uint64_t ahead_ns_ = 0;
    std::uint64_t last_counter_ = 0;
};

} // namespace undercroft::ucctl
