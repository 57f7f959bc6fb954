// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Guest memory that changes without a guest's store through the nested tables: DMA of the watched disk
// controllers, and what the sensor itself writes for the guest. No dirty bit tells of it, so who does it
// announces it here.
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/memory/page_view.hpp"

namespace undercroft::memory {

/// Says of which time a command is. Carries no meaning for its holder.
using WriteTicket = std::uint8_t;

/// What the sensor writes for the guest is a command too. Any CPU; ranges may be hostile (overflowing, no RAM): what is
/// no usable RAM is ignored.
class DeviceWrites {
public:
    /// A command that may write to guest memory is about to be given to a device: the ticket is said with each of
    /// its ranges, and once at its end.
    [[nodiscard]] virtual WriteTicket command_begins() = 0;
    /// Returns before the device may write: whoever wants the old bytes has them then. May wait for room.
    virtual void device_will_write(WriteTicket ticket, Gpa gpa, std::uint64_t bytes) = 0;
    /// The device does not write for this command any more (completed, or aborted by a reset). Never too early.
    virtual void command_ended(WriteTicket ticket) = 0;

protected:
    ~DeviceWrites() = default;
};

/// Wants to look at pages before they are written so.
class DeviceWriteListener {
public:
    /// Usable RAM, whole pages; on the CPU that tells the device, which waits.
    virtual void before_device_write(PageRange pages) = 0;

protected:
    ~DeviceWriteListener() = default;
};

/// Whole pages, in any order; overlaps are allowed.
class RangeVisitor {
public:
    virtual void visit(PageRange range) = 0;

protected:
    ~RangeVisitor() = default;
};

/// What a device writes to without a command of its own: AHCI ports' received FISes and command lists.
class StandingTargets {
public:
    virtual void standing_targets(RangeVisitor& targets) = 0;

protected:
    ~StandingTargets() = default;
};

} // namespace undercroft::memory
