// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor's end of the control protocol (wire/control.hpp).
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/units.hpp"
#include "hypervisor/core/log_ring.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "wire/control_seal.hpp"
#include "wire/memory.hpp"

namespace undercroft::control {

/// The memory of the program that made the hypercall, through its page tables and with its rights.
class GuestVirtualMemory {
public:
    /// False: some byte is not mapped to guest RAM or not accessible to the program.
    [[nodiscard]] virtual bool read(Gva from, std::span<std::byte> into) = 0;
    /// False: some byte is not writable for the program; others may have been written.
    [[nodiscard]] virtual bool write(Gva to, std::span<std::byte const> from) = 0;

protected:
    ~GuestVirtualMemory() = default;
};

/// What can be asked of the sensor. Called with the server's lock held, on any CPU.
class ControlTarget {
public:
    /// Fills what it knows; the rest is zero.
    virtual void status(wire::ControlStatus& status) = 0;
    virtual void set_capture(bool on) = 0;
    /// Counters into `into`; how many (those that do not fit are left out).
    [[nodiscard]] virtual std::size_t counters(std::span<wire::Counter> into) = 0;
    /// Carries out a request to the memory monitor, which judges it, and fills in the modes' states in any case.
    [[nodiscard]] virtual wire::ControlResult memory(wire::MemoryRequest const& request,
                                                     std::span<wire::MemoryStatus, wire::memory_modes> states) = 0;
    /// As core::read_log.
    [[nodiscard]] virtual core::LogRead log(std::uint64_t cursor, std::span<char> into) = 0;

protected:
    ~ControlTarget() = default;
};

struct ControlIdentity {
    wire::Key control_key{};
    wire::BootId boot_id{}; ///< random, not all zero
    std::array<std::uint8_t, 16> machine_id{};
    std::string_view sensor_version;
    std::string_view cpu_backend;
    UtcNs start{}; ///< requests must be younger
};

enum class Answer : std::uint8_t {
    inject_undefined, ///< raise #UD at the instruction, exactly as without a hypervisor
    done,             ///< RAX = 0, RIP past the instruction (3 bytes for VMCALL and VMMCALL)
};

/// One per sensor; static (it holds the answer's buffer).
class ControlServer {
public:
    void set_up(ControlIdentity const& identity, ControlTarget& target);

    /// A hypercall with these register values. Refusals are counted, whatever their reason.
    [[nodiscard]] Answer handle(std::uint64_t rax, std::uint64_t rdi, std::uint64_t rsi, GuestVirtualMemory& memory);

private:
    [[nodiscard]] bool serve(Gva buffer, std::size_t buffer_bytes, GuestVirtualMemory& memory);
    /// What was asked, in the sensor's own memory.
    struct Question {
        wire::ControlRequest request;
        wire::MemoryRequest memory; ///< with has_memory
        bool has_memory = false;
    };
    [[nodiscard]] bool accept(std::span<std::uint8_t> copy, wire::ControlHeader& header, Question& question);
    [[nodiscard]] std::size_t compose(wire::ControlHeader const& header, Question const& question,
                                      std::size_t buffer_bytes);
    [[nodiscard]] wire::ControlResult compose_body(Question const& question, std::span<std::uint8_t> room,
                                                   std::size_t& body_bytes);

    wire::Key hello_key_{}, request_key_{}, answer_key_{};
    wire::ControlHello hello_{};
    wire::BootId boot_id_{};
    std::uint64_t last_counter_ = 0;
    ControlTarget* target_ = nullptr;
    core::Spinlock lock_;
    std::array<std::uint8_t, wire::max_control_request> request_{};
    alignas(8) std::array<std::uint8_t, wire::max_control_buffer> answer_{};
};

} // namespace undercroft::control
