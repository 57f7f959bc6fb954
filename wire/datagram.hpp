// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Datagrams between sensor and collector (docs/formats/datagram.md), one per UDP packet:
//   DatagramHeader (clear, authenticated as AAD) | ciphertext (sealed_bytes) | tag (16)
// ChaCha20-Poly1305 (RFC 8439). Nonce = Le32(0) | Le64(counter). Key per direction:
//   HMAC-SHA256(pre-shared key, "undercroft-v1" | direction byte | machine_id | boot_id | Le64(instance))
// with direction 's' for sensor to collector and 'c' for collector to sensor.
#include <cstddef>
#include <cstdint>

#include "base/le.hpp"

namespace undercroft::wire {

inline constexpr std::uint32_t datagram_magic = 0x31464355; // "UCF1"
inline constexpr std::uint8_t datagram_version = 1;
inline constexpr std::size_t tag_bytes = 16;
inline constexpr std::size_t key_bytes = 32;

enum class Type : std::uint8_t {
    hello = 1,   ///< sensor: HelloBody; repeated each second until an acknowledgement of this boot arrives
    data = 2,    ///< sensor: DataBody + fragment bytes
    ack = 3,     ///< collector: AckBody + AckEntry[]
    status = 4,  ///< sensor: StatusBody + Counter[]; each second. Answered with an ack of the storage stream,
                 ///< so that a restarted collector's instance becomes known to a sensor that has nothing to send
    command = 5, ///< collector: CommandBody; repeated until its answer arrives
    answer = 6,  ///< sensor: AnswerBody + MemoryStatus[memory_modes]
};

/// Stream numbers. Values are permanent.
enum class Stream : std::uint16_t { control = 0, storage = 1, memory = 2, log = 3 };

struct DatagramHeader {
    Le<std::uint32_t> magic;
    Le<std::uint8_t> version;
    Le<std::uint8_t> type;            ///< Type
    Le<std::uint16_t> stream;         ///< Stream
    std::uint8_t machine_id[16];      ///< chosen at install, names the machine in the store
    std::uint8_t boot_id[16];         ///< random for each start of the sensor
    Le<std::uint64_t> instance;       ///< 0 from the sensor; random for each start of the collector
    Le<std::uint64_t> counter;        ///< nonce counter, strictly rising per (direction, boot, instance)
    Le<std::uint64_t> first_sequence; ///< data: number of the slot's first record; ack: slot limit, or 0; else 0
    Le<std::uint32_t> count;          ///< data: records in the slot; ack/status: entries; otherwise 0
    Le<std::uint32_t> sealed_bytes;   ///< plaintext length; datagram = header + sealed_bytes + tag
};
static_assert(offsetof(DatagramHeader, machine_id) == 8);
static_assert(offsetof(DatagramHeader, boot_id) == 24);
static_assert(offsetof(DatagramHeader, instance) == 40);
static_assert(offsetof(DatagramHeader, counter) == 48);
static_assert(offsetof(DatagramHeader, first_sequence) == 56);
static_assert(offsetof(DatagramHeader, count) == 64);
static_assert(offsetof(DatagramHeader, sealed_bytes) == 68);
static_assert(sizeof(DatagramHeader) == 72);

inline constexpr std::size_t datagram_overhead = sizeof(DatagramHeader) + tag_bytes;
inline constexpr std::size_t max_datagram_bytes = 65507;

/// A slot is the unit of delivery: items (Record, then content_bytes of content)
/// back to back. Slots of a stream are numbered 0, 1, 2 ... without holes. Records
/// dropped by the sensor (policy `drop`, buffer full) still use up sequence numbers:
/// a slot whose first_sequence is past the end of the slot before it states a gap.
/// All records inside one slot are consecutive.
inline constexpr std::uint32_t max_slot_bytes = 32768;
inline constexpr std::uint32_t max_fragments = 64;

struct DataBody {
    Le<std::uint64_t> slot;        ///< slot number within the stream
    Le<std::uint64_t> oldest_slot; ///< lowest slot the sensor still holds; below it nothing will be resent
    Le<std::uint32_t> slot_bytes;  ///< whole slot, 1 ... max_slot_bytes
    Le<std::uint32_t> offset;      ///< of this fragment within the slot
    Le<std::uint16_t> index;       ///< fragment number, < fragments
    Le<std::uint16_t> fragments;   ///< 1 ... max_fragments
    Le<std::uint32_t> reserved;    ///< 0
    // then the fragment's bytes, to the end of the plaintext
};
static_assert(offsetof(DataBody, slot_bytes) == 16);
static_assert(offsetof(DataBody, index) == 24);
static_assert(sizeof(DataBody) == 32);

/// Header field `stream` names the stream. All slots < next_slot are durable in
/// the store and may be freed. Entries tell which fragments of later slots have
/// arrived, so that only missing ones are resent. When `instance` changes (the
/// collector was restarted) the sensor forgets all earlier entries.
struct AckBody {
    Le<std::uint64_t> next_slot;
    Le<std::uint64_t> highest_counter; ///< highest header counter seen, for round-trip estimates
};
struct AckEntry {
    Le<std::uint64_t> slot;
    Le<std::uint64_t> received; ///< bit i = fragment i has arrived
};
inline constexpr std::uint32_t max_ack_entries = 64;
static_assert(sizeof(AckBody) == 16 && sizeof(AckEntry) == 16);

struct StatusBody {
    Le<std::uint64_t> time_utc_ns;
    Le<std::uint64_t> uptime_ns;     ///< since the sensor started
    Le<std::uint64_t> next_sequence; ///< storage stream: records made so far, dropped ones included
    Le<std::uint64_t> next_slot;     ///< storage stream: slots closed so far
};
struct Counter {
    Le<std::uint16_t> id;    ///< CounterId (wire/counters.hpp)
    Le<std::uint16_t> index; ///< CPU or port where it applies, else 0
    Le<std::uint32_t> reserved;
    Le<std::uint64_t> value;
};
static_assert(sizeof(StatusBody) == 32 && sizeof(Counter) == 16);

/// The collector's word to a sensor. A sensor carries out only numbers above the last one of this boot;
/// the last one again gets its answer again. The header's `instance` must be that of the last valid ack.
struct CommandBody {
    Le<std::uint64_t> number;  ///< strictly rising per boot: the collector's UTC in nanoseconds
    Le<std::uint16_t> command; ///< ControlCommand: start, stop or memory (wire/control.hpp)
    Le<std::uint16_t> reserved0;
    Le<std::uint32_t> reserved1;
    // command memory: a MemoryRequest (wire/memory.hpp)
};
struct AnswerBody {
    Le<std::uint64_t> number;  ///< the command's
    Le<std::uint16_t> command; ///< the command's
    Le<std::uint16_t> result;  ///< ControlResult
    Le<std::uint32_t> reserved;
};
static_assert(sizeof(CommandBody) == 16 && sizeof(AnswerBody) == 16);

struct HelloBody {
    Le<std::uint64_t> time_utc_ns;
    Le<std::uint64_t> start_utc_ns;
    char sensor_version[32];        ///< UTF-8, zero padded, not necessarily zero terminated
    char cpu_backend[16];           ///< "svm", "vmx"
    Le<std::uint16_t> disks;        ///< DiskInfo entries that follow, at most 32
    Le<std::uint16_t> capture_mode; ///< 0 header only, 1 full content
    Le<std::uint16_t> policy;       ///< 0 drop, 1 hold
    Le<std::uint16_t> reserved;
};
struct DiskInfo {
    Le<std::uint16_t> source; ///< as Record::source
    Le<std::uint16_t> logical_sector_bytes;
    Le<std::uint32_t> reserved;
    Le<std::uint64_t> capacity_512; ///< in 512-byte units, 0 = not known yet
    char model[40];
    char serial[24];
};
static_assert(sizeof(HelloBody) == 72 && sizeof(DiskInfo) == 80);
inline constexpr std::uint32_t max_hello_disks = 32;

} // namespace undercroft::wire
