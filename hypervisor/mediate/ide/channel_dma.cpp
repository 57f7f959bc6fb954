// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The bus master: its table is the sensor's copy of the guest's, and a transfer is recorded when both the device has
// its command and the bus master is about to run, whichever comes last.
#include "base/width.hpp"
#include "hypervisor/mediate/ata/trim.hpp"
#include "hypervisor/mediate/ide/channel.hpp"
#include "hypervisor/mediate/ide/registers.hpp"

namespace undercroft::ide {

using ata::Operation;

void Channel::write_bus_master(std::uint16_t base, unsigned offset, unsigned width, std::uint32_t value)
{
    for (unsigned i = 0; i < width; ++i) {
        unsigned const at = offset + i;
        auto const byte = static_cast<std::uint8_t>(value >> 8 * i);
        if (at == bus_master::command) {
            write_bus_master_command(base, byte);
        } else if (at >= bus_master::table && at < bus_master::bytes) {
            // The device's register gets the sensor's own table at the start; until then this is only remembered.
            unsigned const shift = 8 * (at - bus_master::table);
            guest_table_ = (guest_table_ & ~(0xffU << shift)) | static_cast<std::uint32_t>(byte) << shift;
            guest_table_ &= ~3U;
        } else {
            store(base, at, byte);
        }
    }
}

std::uint32_t Channel::read_bus_master(std::uint16_t base, unsigned offset, unsigned width)
{
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
        unsigned const at = offset + i;
        bool const is_table = at >= bus_master::table && at < bus_master::bytes;
        std::uint32_t const byte = is_table ? guest_table_ >> 8 * (at - bus_master::table) & 0xff : load(base, at);
        value |= byte << 8 * i;
    }
    return value;
}

/// Only a change of the start bit from 0 to 1 starts; whether there is one is the device's word, because a reset or a
/// power state behind our back may have cleared it.
void Channel::write_bus_master_command(std::uint16_t base, std::uint8_t value)
{
    bool const starting =
        (value & bus_master::start) != 0 && (load(base, bus_master::command) & bus_master::start) == 0;
    if (starting && !start_dma(base))
        value &= static_cast<std::uint8_t>(~unsigned{bus_master::start});
    if (starting && (value & bus_master::start) != 0)
        announce();
    store(base, bus_master::command, value);
    if ((value & bus_master::start) == 0)
        announce_end();
}

/// Whatever the direction bit says: the device decides what it does with the command. All of the table.
void Channel::announce()
{
    auto* const writes = controller_->device_writes.load(std::memory_order_acquire);
    if (writes == nullptr)
        return;
    memory::WriteTicket const ticket = writes->command_begins();
    PrdExtents extents{copy_.entries, copy_.bytes};
    for (observe::Extent extent{}; extents.next(extent);)
        writes->device_will_write(ticket, extent.address, extent.bytes);
    announce_end();
    ticket_ = ticket;
    announced_ = true;
}

/// The guest has stopped the bus master, or starts it anew.
void Channel::announce_end()
{
    if (announced_)
        controller_->device_writes.load(std::memory_order_acquire)->command_ended(ticket_);
    announced_ = false;
}

bool Channel::start_dma(std::uint16_t base)
{
    copy_ = copy_prd_table(*controller_->memory, guest_table_, table_.table->entries);
    switch (copy_.verdict) {
    case PrdVerdict::usable:
        break;
    case PrdVerdict::touches_sensor:
        count(wire::CounterId::ide_refused_dma);
        warn(warned_refused_, "PRD table aimed at the sensor");
        return false;
    case PrdVerdict::unreadable:
    case PrdVerdict::too_long:
        count(wire::CounterId::ide_bad_table);
        warn(warned_table_, "PRD table outside RAM or too long");
        return false;
    }
    if (!copy_.well_formed) {
        count(wire::CounterId::ide_bad_table);
        warn(warned_table_, "PRD table does not add up");
    }
    controller_->ports->store(static_cast<std::uint16_t>(base + bus_master::table), 4,
                              static_cast<std::uint32_t>(table_.bus_address));
    if (dma_pending_)
        record_dma();
    return true;
}

void Channel::record_dma()
{
    switch (command_.operation) {
    case Operation::write:
        return record_dma_write();
    case Operation::read:
    case Operation::trim:
        break;
    default:
        return;
    }
    std::uint64_t const wanted =
        command_.operation == Operation::trim ? command_.sectors * std::uint64_t{512} : medium_bytes();
    if (copy_.bytes < wanted)
        count(wire::CounterId::ide_bad_table);
    if (command_.operation == Operation::trim)
        return record_trim(); // started again with other ranges, these count too
    PrdExtents none{{}, 0};
    if (!header_recorded_)
        record_now(0, wanted, none);
    header_recorded_ = true;
}

/// A table may be too short: then the bus master stops, and a second start goes on where the first ended.
void Channel::record_dma_write()
{
    std::uint64_t const wanted = medium_bytes();
    if (done_ == wanted) {
        count(wire::CounterId::ide_dma_restarted);
        done_ = 0; // with which table the device works is not known, so the later one is recorded as well
    }
    std::uint64_t bytes = wanted - done_;
    if (copy_.bytes < bytes) {
        count(wire::CounterId::ide_bad_table);
        warn(warned_table_, "PRD table too short for the command");
        bytes = copy_.bytes - copy_.bytes % sector_bytes();
    }
    if (bytes == 0)
        return;
    PrdExtents extents{copy_.entries, bytes};
    record_now(done_, bytes, extents);
    done_ += bytes;
}

void Channel::record_trim()
{
    if (!controller_->capture.load(std::memory_order_relaxed))
        return;
    PrdExtents extents{copy_.entries, command_.sectors * std::uint64_t{512}};
    ata::TrimRanges ranges{*controller_->memory, extents, command_.sectors};
    std::uint64_t const sector = sector_bytes();
    auto const flags = controller_->common_flags.load(std::memory_order_relaxed);
    for (ata::TrimRange range; ranges.next(range);) {
        PrdExtents none{{}, 0};
        controller_->observer->observe(
            {wire::Kind::storage_trim, Lba{range.lba * (sector / 512)}, range.sectors * sector, source(), flags}, none);
    }
    if (!ranges.complete())
        count(wire::CounterId::ide_bad_table);
}

} // namespace undercroft::ide
