// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What every storage mediator (AHCI, later NVMe and IDE) hands to the observer.
#include <cstddef>
#include <cstdint>

#include "base/units.hpp"
#include "wire/record.hpp"

namespace undercroft::observe {

/// A piece of guest-physical memory that a command transfers from or to.
struct Extent {
    Gpa address;
    std::uint64_t bytes;
    std::byte const* captured = nullptr; ///< not null: the bytes are here, in the sensor's memory, and not at `address`
};

/// The command's data pages, produced one extent at a time from the copy that the
/// mediator took. Extents come in transfer order and are never empty.
class ExtentSource {
public:
    /// False at the end.
    [[nodiscard]] virtual bool next(Extent& extent) = 0;

protected:
    ~ExtentSource() = default;
};

struct DiskCommand {
    wire::Kind kind{};
    Lba lba{};              ///< in 512-byte units
    std::uint64_t bytes{};  ///< transfer length on the medium; for flush 0
    std::uint16_t source{}; ///< controller << 8 | port
    std::uint16_t flags{};  ///< record_flag bits the mediator knows (fua, queued, seen_late, before_os)
};

class DiskObserver {
public:
    /// Records one command before it reaches the device. `data` is only walked for
    /// storage_write; when it ends early the rest is recorded as content_unreadable.
    /// With policy `hold` this returns only when there was room. Never fails.
    virtual void observe(DiskCommand const& command, ExtentSource& data) = 0;
    /// What IDENTIFY DEVICE answered, for hello datagrams. model, serial: as on the
    /// medium, byte-swapped to text, not terminated.
    virtual void describe(std::uint16_t source, std::uint16_t logical_sector_bytes, std::uint64_t capacity_512,
                          char const (&model)[40], char const (&serial)[20]) = 0;

protected:
    ~DiskObserver() = default;
};

} // namespace undercroft::observe
