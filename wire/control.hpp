// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The control protocol between ucctl in the guest and the sensor: one hypercall, one request, one answer.
//
// Hypercall (VMMCALL on AMD, VMCALL on Intel, any privilege level):
//   RAX = control_hypercall, RDI = guest-virtual address of the buffer, RSI = its length in bytes.
//   The buffer is page-aligned, a multiple of 4,096 bytes up to max_control_buffer, and resident.
//   When the request is accepted, the answer replaces it in the buffer and RAX becomes 0. When it is not, for
//   whatever reason, the instruction raises #UD, as on a machine without a hypervisor.
//
// A message is ControlHeader (clear, authenticated) | ciphertext (sealed_bytes) | tag (16), ChaCha20-Poly1305.
//   key    HMAC-SHA256(control_key, "undercroft-control-v1" | direction byte | boot_id), direction 'q' for
//          requests, 'a' for answers
//   nonce  the header's: random in requests; in answers Le32(0) | Le64(counter)
//
// Freshness: the counter is UTC in nanoseconds as ucctl believes; the sensor accepts it only when it is greater than
// the last accepted one and than its own start time. boot_id (16 random bytes per start of the sensor) is zero in
// requests of the command `hello`, whose answer tells it; every other request must carry it, so that a
// recording from an earlier boot is worthless even when the clock was set back.
#include <cstddef>
#include <cstdint>

#include "base/le.hpp"
#include "wire/datagram.hpp"

namespace undercroft::wire {

inline constexpr std::uint64_t control_hypercall = 0x6c72746343554355; ///< "UCUCctrl"
inline constexpr std::size_t max_control_buffer = 65536;
inline constexpr std::size_t control_page_bytes = 4096;
/// A whole request, header and tag included, is at most this long; it lies at the buffer's start.
inline constexpr std::size_t max_control_request = 512;

inline constexpr std::uint32_t control_magic = 0x31434355; // "UCC1"
inline constexpr std::uint8_t control_version = 1;

enum class ControlKind : std::uint8_t { request = 'q', answer = 'a' };

struct ControlHeader {
    Le<std::uint32_t> magic;
    Le<std::uint8_t> version;
    Le<std::uint8_t> kind;       ///< ControlKind
    Le<std::uint16_t> reserved;  ///< 0
    Le<std::uint64_t> counter;   ///< the answer repeats the request's
    std::uint8_t request_id[16]; ///< random; the answer repeats it
    std::uint8_t boot_id[16];    ///< the sensor's; zero in requests of hello
    std::uint8_t nonce[12];
    Le<std::uint32_t> sealed_bytes; ///< plaintext length
};
static_assert(offsetof(ControlHeader, counter) == 8);
static_assert(offsetof(ControlHeader, request_id) == 16);
static_assert(offsetof(ControlHeader, boot_id) == 32);
static_assert(offsetof(ControlHeader, nonce) == 48);
static_assert(offsetof(ControlHeader, sealed_bytes) == 60);
static_assert(sizeof(ControlHeader) == 64);

inline constexpr std::size_t control_overhead = sizeof(ControlHeader) + tag_bytes;

/// Values are permanent.
enum class ControlCommand : std::uint16_t {
    hello = 1,          ///< answer: ControlHello
    status = 2,         ///< answer: ControlStatus
    start = 3,          ///< capture on; answer: ControlStatus
    stop = 4,           ///< capture off; answer: ControlStatus
    log = 5,            ///< argument: cursor; answer: ControlLog + text
    counters = 6,       ///< answer: Counter[]
    memory = 7,         ///< request: a MemoryRequest follows (wire/memory.hpp); answer: MemoryStatus[memory_modes]
    hold_writes = 8,    ///< the collector's only: writes of the guest stay unissued; answer as for start
    release_writes = 9, ///< the collector's only: they are issued
};

struct ControlRequest {
    Le<std::uint16_t> command;   ///< ControlCommand
    Le<std::uint16_t> reserved0; ///< 0
    Le<std::uint32_t> reserved1; ///< 0
    Le<std::uint64_t> argument;
};
static_assert(sizeof(ControlRequest) == 16);

enum class ControlResult : std::uint16_t {
    done = 0,
    unknown_command = 1,
    bad_request = 2,
    buffer_too_small = 3,
    not_possible = 4, ///< memory: the processor or the configuration lacks what it needs; MemoryStatus says what
    busy = 5,         ///< memory: another mode that needs the same tables runs
    not_allowed = 6,  ///< the guest may not ask for this, only the collector may
};

/// Starts the plaintext of every answer.
struct ControlAnswer {
    Le<std::uint16_t> result;     ///< ControlResult; other than done: no body
    Le<std::uint16_t> command;    ///< the request's
    Le<std::uint32_t> body_bytes; ///< what follows
};
static_assert(sizeof(ControlAnswer) == 8);

struct ControlHello {
    std::uint8_t boot_id[16];
    std::uint8_t machine_id[16];
    char sensor_version[32]; ///< zero padded
    char cpu_backend[16];    ///< "svm", "vmx", zero padded
};
static_assert(sizeof(ControlHello) == 80);

struct ControlStatus {
    Le<std::uint64_t> time_utc_ns;
    Le<std::uint64_t> start_utc_ns;
    Le<std::uint64_t> uptime_ns;
    Le<std::uint64_t> records; ///< made so far, dropped ones included
    Le<std::uint64_t> dropped; ///< of these
    Le<std::uint64_t> slots_closed;
    Le<std::uint64_t> slots_freed;  ///< acknowledged by the collector
    Le<std::uint64_t> buffer_bytes; ///< size of the buffer
    Le<std::uint64_t> buffer_used;
    Le<std::uint64_t> last_ack_utc_ns; ///< 0: the collector has not answered yet
    Le<std::uint64_t> next_log_line;
    Le<std::uint32_t> cpus;        ///< under the sensor
    Le<std::uint16_t> disks;       ///< watched
    Le<std::uint8_t> capturing;    ///< 0, 1
    Le<std::uint8_t> capture_mode; ///< 0 header only, 1 full content
    Le<std::uint8_t> policy;       ///< 0 drop, 1 hold
    Le<std::uint8_t> synchronised; ///< 1: the clock follows SNTP
    Le<std::uint8_t> link_up;      ///< of the sensor's card
    std::uint8_t address[4];       ///< of the sensor; zero until DHCP answered
    std::uint8_t collector[4];
    Le<std::uint16_t> collector_port;
    Le<std::uint8_t> holding_writes; ///< 0, 1
    std::uint8_t reserved[2];
};
static_assert(offsetof(ControlStatus, cpus) == 88);
static_assert(offsetof(ControlStatus, address) == 99);
static_assert(sizeof(ControlStatus) == 112);

struct ControlLog {
    Le<std::uint64_t> next;       ///< cursor for the next request
    Le<std::uint64_t> lost;       ///< lines that had already given way
    Le<std::uint32_t> text_bytes; ///< whole lines; 0: nothing new
    Le<std::uint32_t> reserved;
};
static_assert(sizeof(ControlLog) == 24);

} // namespace undercroft::wire
