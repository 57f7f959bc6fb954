// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Between `undercroft control` and `undercroft collect`: a UNIX socket of packets (SOCK_SEQPACKET), one call and its
// answer for each connection. Local, of one version, readable by the collector's user only.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/le.hpp"
#include "wire/memory.hpp"

namespace undercroft::collector {

inline constexpr std::uint32_t control_call_magic = 0x314C4355; // "UCL1"

struct ControlCall {
    Le<std::uint32_t> magic;
    Le<std::uint16_t> command; ///< wire::ControlCommand: start, stop or memory
    Le<std::uint16_t> reserved;
    std::uint8_t machine[16];
    wire::MemoryRequest memory; ///< command memory
};
static_assert(sizeof(ControlCall) == 72);

enum class CallOutcome : std::uint16_t {
    answered = 0,
    bad_call = 1,
    machine_unknown = 2, ///< the collector has not heard of this machine since it started
    no_answer = 3,       ///< the sensor did not answer in time
};

struct ControlReply {
    Le<std::uint16_t> outcome; ///< CallOutcome; other than answered: nothing else is set
    Le<std::uint16_t> result;  ///< wire::ControlResult
    Le<std::uint32_t> states;  ///< how many of the following the sensor sent
    std::array<wire::MemoryStatus, wire::memory_modes> state;
};
static_assert(sizeof(ControlReply) == 8 + 4 * sizeof(wire::MemoryStatus));

} // namespace undercroft::collector
