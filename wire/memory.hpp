// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What is asked of the memory monitor and what it says of itself: by hypercall (ControlCommand::memory,
// wire/control.hpp), by the collector (Type::command, wire/datagram.hpp) and in records of kind memory_mode.
#include <cstddef>
#include <cstdint>

#include "base/le.hpp"

namespace undercroft::wire {

/// Values are permanent.
enum class MemoryMode : std::uint16_t {
    none = 0,
    access = 1,   ///< first accesses to pages after each re-arming, by nested faults
    written = 2,  ///< written pages with their bytes as they are after the write
    snapshot = 3, ///< sweeps over all usable memory
    watch = 4,    ///< as many accesses as a budget of time allows
};
inline constexpr std::uint16_t memory_modes = 4;

enum class MemoryAction : std::uint16_t {
    status = 0, ///< changes nothing; the other fields are ignored
    start = 1,  ///< or change, when the mode runs already
    stop = 2,   ///< mode none: all modes
};

/// Bits of MemoryRequest::flags. Values are permanent.
namespace memory_flag {
inline constexpr std::uint16_t huge_pages = 1U << 0;   ///< access: 2 MiB instead of 4 KiB granularity
inline constexpr std::uint16_t keep_entries = 1U << 1; ///< access: re-arming leaves the nested entries as they are
inline constexpr std::uint16_t keep_tlb = 1U << 2;     ///< access: re-arming does not flush TLBs
inline constexpr std::uint16_t only_touched = 1U << 3; ///< access: only pages touched in the last cycle are re-armed
inline constexpr std::uint16_t consistent = 1U << 4;   ///< snapshot: every page as it was at one instant
inline constexpr std::uint16_t full_sweeps = 1U << 5;  ///< snapshot: later sweeps too send every page
inline constexpr std::uint16_t no_content = 1U << 6;   ///< written: entropy only
} // namespace memory_flag

/// 0 in a field asks for its default. Fields that a mode does not use are 0.
struct MemoryRequest {
    Le<std::uint16_t> mode;            ///< MemoryMode
    Le<std::uint16_t> action;          ///< MemoryAction
    Le<std::uint16_t> flags;           ///< memory_flag bits
    Le<std::uint16_t> budget_permille; ///< share of all CPUs' time. watch: default 50; snapshot: default 30, 250 with a
                                       ///< rate; written: default 100, 1000 is no limit
    Le<std::uint32_t> period_us;       ///< access: between re-armings; snapshot: between sweeps' starts, default once;
                                       ///< watch: between scans, default the controller's choice
    Le<std::uint32_t> every_turns;     ///< access: re-arm at each n-th VM exit of a CPU instead of by time
    Le<std::uint64_t> range_begin;     ///< guest-physical, page-aligned
    Le<std::uint64_t> range_bytes;     ///< 0: all usable memory
    Le<std::uint32_t> rate_kib_per_s;  ///< snapshot: what may be copied; default by the link
    Le<std::uint32_t> thin;            ///< written: of each page's writes every m-th is recorded; default 1
    Le<std::uint16_t> delay_depth; ///< written: a page is copied when so many others were written after it; default 7
    Le<std::uint16_t> delay_ms;    ///< written: or after this time; default 10
    Le<std::uint32_t> reserved;    ///< 0
};
static_assert(offsetof(MemoryRequest, period_us) == 8);
static_assert(offsetof(MemoryRequest, range_begin) == 16);
static_assert(offsetof(MemoryRequest, rate_kib_per_s) == 32);
static_assert(offsetof(MemoryRequest, delay_depth) == 40);
static_assert(sizeof(MemoryRequest) == 48);

/// What a processor may lack; bits of MemoryStatus::missing. Values are permanent.
namespace memory_lack {
inline constexpr std::uint16_t not_configured = 1U << 0;  ///< `memory = off`: no tables were set aside
inline constexpr std::uint16_t no_access_bits = 1U << 1;  ///< nested accessed and dirty bits (EPT A/D)
inline constexpr std::uint16_t no_page_log = 1U << 2;     ///< page-modification logging
inline constexpr std::uint16_t no_execute_only = 1U << 3; ///< reads of code cannot be told from its execution
inline constexpr std::uint16_t no_timer = 1U << 4;        ///< periods follow exits and the guest's own interrupts
} // namespace memory_lack

/// One for each mode, in the order of MemoryMode without `none`.
struct MemoryStatus {
    MemoryRequest request;             ///< as it runs, defaults filled in; action: start while it runs, else stop
    Le<std::uint64_t> records;         ///< made since the sensor's start, by this mode
    Le<std::uint64_t> dropped;         ///< of these, for want of room
    Le<std::uint64_t> faults;          ///< nested faults taken for it
    Le<std::uint64_t> cycles;          ///< re-armings, sweeps or scans completed
    Le<std::uint64_t> pages;           ///< pages copied, or seen accessed
    Le<std::uint64_t> ticks_in_sensor; ///< TSC ticks that it took from the guest's CPUs
    Le<std::uint64_t> held;            ///< times that the guest had to wait for room (snapshot, consistent)
    Le<std::uint16_t> missing;         ///< memory_lack bits
    std::uint8_t reserved[6];
};
static_assert(offsetof(MemoryStatus, records) == 48);
static_assert(offsetof(MemoryStatus, missing) == 104);
static_assert(sizeof(MemoryStatus) == 112);

} // namespace undercroft::wire
