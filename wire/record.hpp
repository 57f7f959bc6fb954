// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The 32-byte access record (docs/formats/record.md). Published version 1: the
// golden bytes in wire/tests never change for it.
#include <cstddef>
#include <cstdint>

#include "base/le.hpp"

namespace undercroft::wire {

/// What was accessed. Values are permanent.
enum class Kind : std::uint8_t {
    storage_read = 1,
    storage_write = 2,
    storage_flush = 3,
    storage_trim = 4,
    memory_read = 16,
    memory_write = 17,
    memory_read_write = 18,
    memory_execute = 19,
    memory_page = 20, ///< a page as a snapshot's sweep found it; its content follows unless flag zero_content
    // Of the sensor itself, in the storage stream; address, length and source are 0.
    capture_off = 32, ///< from here on accesses may be missing: capture is being switched off
    capture_on = 33,  ///< from here on nothing is missing any more
    // Of the sensor itself, in the memory stream (docs/formats/record.md says what their fields hold).
    memory_mode = 48,        ///< a mode was started, changed or stopped; content: MemoryRequest (wire/memory.hpp)
    memory_region = 49,      ///< usable RAM as the firmware's map says; repeated at each start of a mode
    memory_armed = 50,       ///< rights were taken from the pages of a range: from here on each first access is seen
    memory_disarmed = 51,    ///< the range is not looked at any more
    memory_sweep_begin = 52, ///< snapshot: a sweep begins
    memory_sweep_end = 53,   ///< snapshot: the sweep is complete
    memory_scanned = 54,     ///< watch: accessed and dirty bits of a range were read and cleared
};

/// RanSMAP's page codes; `none` for storage records.
enum class PageClass : std::uint8_t { none = 0, page_4k = 1, page_2m = 2, mmio = 4 };

/// Bits of Record::flags. Values are permanent.
namespace record_flag {
inline constexpr std::uint16_t first_of_request = 1U << 0;    ///< first record of one device command
inline constexpr std::uint16_t last_of_request = 1U << 1;     ///< last record of one device command
inline constexpr std::uint16_t has_entropy = 1U << 2;         ///< Record::entropy is valid
inline constexpr std::uint16_t has_content = 1U << 3;         ///< `length` content bytes follow the record
inline constexpr std::uint16_t time_unsynchronised = 1U << 4; ///< no SNTP answer yet: firmware clock + TSC
inline constexpr std::uint16_t forced_unit_access = 1U << 5;
inline constexpr std::uint16_t queued = 1U << 6;             ///< NCQ command
inline constexpr std::uint16_t content_unreadable = 1U << 7; ///< PRDT pointed outside guest RAM
inline constexpr std::uint16_t seen_late = 1U << 8;          ///< found after issue (undecodable instruction, hand-over)
inline constexpr std::uint16_t before_os = 1U << 9;          ///< firmware's access, before ExitBootServices
inline constexpr std::uint16_t page_walk = 1U << 10;    ///< memory: the CPU walked or marked the guest's page tables
inline constexpr std::uint16_t zero_content = 1U << 11; ///< memory: all `length` bytes are 0; no content follows
inline constexpr std::uint16_t by_scan = 1U << 12;      ///< memory: found by an accessed or dirty bit at this time
inline constexpr std::uint16_t by_device = 1U << 13;    ///< memory: written by a watched disk controller's DMA
} // namespace record_flag

/// A write command of n bytes gives ceil(n / 4096) consecutive records, each
/// of at most 4,096 bytes, cut relative to the command's start; a read, flush
/// or one trim range gives one record with the full length. Records of one
/// command are contiguous in sequence numbers, first_of_request on the first
/// and last_of_request on the last. Each range of a trim counts as a command here.
struct Record {
    Le<std::uint64_t> time_utc_ns;   ///< UTC nanoseconds since 1970
    Le<std::uint64_t> address;       ///< storage: LBA in 512-byte units; memory: guest-physical bytes
    Le<std::uint32_t> length;        ///< bytes (a read or trim of more than 4 GiB - 4,096 is split)
    Le<std::uint8_t> kind;           ///< Kind
    Le<std::uint8_t> page_class;     ///< PageClass
    Le<std::uint16_t> source;        ///< storage: controller << 8 | port; memory: CPU
    Le<std::uint16_t> entropy;       ///< Shannon bits / 8 as round(x * 65535); valid with has_entropy
    Le<std::uint16_t> flags;         ///< record_flag bits; unknown bits are ignored
    Le<std::uint32_t> content_bytes; ///< bytes of content right after this record in the slot (0 or length)
};
static_assert(offsetof(Record, time_utc_ns) == 0);
static_assert(offsetof(Record, address) == 8);
static_assert(offsetof(Record, length) == 16);
static_assert(offsetof(Record, kind) == 20);
static_assert(offsetof(Record, page_class) == 21);
static_assert(offsetof(Record, source) == 22);
static_assert(offsetof(Record, entropy) == 24);
static_assert(offsetof(Record, flags) == 26);
static_assert(offsetof(Record, content_bytes) == 28);
static_assert(sizeof(Record) == 32);

inline constexpr std::uint32_t content_block_bytes = 4096;

} // namespace undercroft::wire
