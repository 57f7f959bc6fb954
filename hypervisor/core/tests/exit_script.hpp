// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the exit loop has to do at each exit, as data: nothing here knows a backend. A runner
// puts the guest into the named state, lets the exit happen and compares.
//
// Guest memory of every scenario: RAM [0, 64 KiB). Linear 0x40'0000 is guest-physical 0x8000 through
// page tables at 0x1000 (four-level); code lies there. Everything above RAM is device or nothing;
// the device answers loads with the low bytes of device_value.
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "hypervisor/backend/backend.hpp"
#include "wire/counters.hpp"

namespace undercroft::core::testing {

inline constexpr std::uint64_t device_value = 0x8877'6655'4433'2211;
inline constexpr std::uint32_t signature = 0x000A'0F11;
inline constexpr std::uint64_t code_gpa = 0x8000;

enum class Mode : std::uint8_t {
    long64,      ///< RIP 0x40'0000, EFER = LME | LMA | NXE
    protected32, ///< no paging, flat, RIP 0x8000, EFER 0
    real,        ///< CS base 0x8000, RIP 0
};

enum Gpr : std::uint8_t { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi };

struct RegisterValue {
    Gpr which;
    std::uint64_t value;
};

/// Something that the exit loop did to the CPU or asked of the machine, in order. Names of
/// the machine's side begin with its subject (mmio_, port_, msr_ ...).
struct Call {
    std::string_view name;
    std::uint64_t a = 0, b = 0, c = 0;
    bool operator==(Call const&) const = default;
};

/// What other CPUs post.
struct Post {
    enum class Kind : std::uint8_t { init, startup, flush, kick } kind;
    std::uint8_t vector = 0;
};

/// How the machine answers in this step.
struct Answers {
    bool may_open = true, msr_faults = false, hypercall_taken = false;
    bool monitor_takes = false; ///< a nested fault is the memory monitor's
    std::uint64_t time = 0;     ///< for NMIs; calls are void from 100 on
    std::uint64_t msr_value = 0;
};

struct Step {
    std::string_view name{};
    std::vector<std::uint8_t> code{}; ///< written at RIP's guest-physical place; empty: left as it was
    std::vector<RegisterValue> registers{};
    std::vector<Post> posts{}; ///< before the exit
    backend::Exit exit{};
    Answers answers{};
    std::vector<Post> while_waiting{}; ///< one for each wait for a SIPI

    // Expected; registers that are not named stay as they were.
    std::uint64_t rip = 0;
    std::vector<RegisterValue> registers_after{};
    std::vector<Call> calls{};
    std::vector<wire::CounterId> counters{}; ///< each goes up by one per mention; exits_total always
    std::optional<std::uint64_t> cs_base{};
    std::optional<std::uint64_t> rflags{};
    bool ends_in_shutdown = false;
    std::uint8_t cpl = 0;
    std::uint64_t next_rip_offset = 0; ///< exit.next_rip = RIP before + this, when not 0
};

struct Scenario {
    std::string_view name{};
    Mode mode = Mode::long64;
    bool bootstrap = false; ///< the CPU that INIT restarts
    bool waiting = false;   ///< the CPU is parked, as firmware leaves application processors
    std::uint64_t rip = 0;  ///< 0: the mode's own
    std::vector<Step> steps{};
};

[[nodiscard]] std::vector<Scenario> const& exit_scenarios();

} // namespace undercroft::core::testing
