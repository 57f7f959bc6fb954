// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Newly issued commands: copied, judged, counted, recorded; and looked at again when they have ended.
#include <algorithm>
#include <bit>

#include "hypervisor/core/log.hpp"
#include "hypervisor/mediate/ahci/port.hpp"
#include "hypervisor/mediate/ata/trim.hpp"

namespace undercroft::ahci {

using ata::TrimRange;
using ata::TrimRanges;
namespace {

/// What the device will move at most; 0 = not known from the command alone.
std::uint64_t data_bytes(Command const& command, std::uint64_t sector_bytes)
{
    switch (command.operation) {
    case Operation::read:
    case Operation::write:
        return command.sectors * sector_bytes;
    case Operation::trim:
        return command.sectors * std::uint64_t{512};
    case Operation::identify:
        return identify_bytes;
    default:
        return 0;
    }
}

} // namespace

std::uint32_t Port::issue(std::uint32_t slots, std::uint16_t flags)
{
    std::uint32_t allowed = slots;
    for (std::uint32_t rest = slots; rest != 0; rest &= rest - 1) {
        auto const slot = static_cast<unsigned>(std::countr_zero(rest));
        if (issue_slot(slot, flags) == Verdict::refuse)
            allowed &= ~(1U << slot);
    }
    return allowed;
}

/// Tables outside guest RAM are refused: what cannot be read cannot be judged, and a
/// device's own memory would be a way around every check.
Port::Verdict Port::issue_slot(unsigned slot, std::uint16_t flags)
{
    CommandHeader header;
    if (!read_header(reader_, slot, header)) {
        count(wire::CounterId::ahci_bad_table);
        return refuse(slot, "command list outside RAM");
    }
    if (header.entries() <= entries_.size())
        return issue_with(slot, header, entries_, flags);
    core::SpinGuard const guard{hba_->large_table->lock};
    return issue_with(slot, header, hba_->large_table->entries, flags);
}

Port::Verdict Port::issue_with(unsigned slot, CommandHeader const& header, std::span<PrdtEntry> room,
                               std::uint16_t flags)
{
    CommandTable table;
    if ((header.table_word & 0x7fU) != 0 || !read_table(reader_, header, room, table)) {
        count(wire::CounterId::ahci_bad_table);
        return refuse(slot, "command table misaligned or outside RAM");
    }
    Command const command = parse_command(table.fis, identity_.geometry);
    Targets const targets = judge_targets(table);
    std::uint64_t const wanted = data_bytes(command, identity_.sector_bytes);
    if (targets.touch_sensor)
        return refuse(slot, "PRDT aimed at the sensor");
    if (!table.complete && (wanted == 0 || targets.bytes < wanted)) {
        count(wire::CounterId::ahci_bad_table);
        return refuse(slot, "PRDT outside RAM");
    }
    if (!targets.well_formed || !header.well_formed() || targets.bytes < wanted) {
        count(wire::CounterId::ahci_bad_table);
        warn(warned_table_, "table does not add up", slot);
    }
    count_command(command, header);
    announce(slot, command, table);
    if (hba_->capture.load(std::memory_order_relaxed))
        record(command, table, static_cast<std::uint16_t>(flags | hba_->common_flags.load(std::memory_order_relaxed)));
    follow(slot, header, command, table);
    return Verdict::forward;
}

Port::Targets Port::judge_targets(CommandTable const& table) const
{
    Targets targets;
    for (PrdtEntry const& entry : table.prdt) {
        std::uint64_t const bytes = entry.bytes();
        targets.bytes += bytes;
        targets.well_formed = targets.well_formed && entry.well_formed();
        targets.touch_sensor = targets.touch_sensor || hba_->memory->touches_sensor(entry.address(), bytes);
    }
    return targets;
}

void Port::count_command(Command const& command, CommandHeader const& header) const
{
    using Id = wire::CounterId;
    // In the order of Operation.
    constexpr Id ids[] = {Id::ahci_commands_read,   Id::ahci_commands_write, Id::ahci_commands_flush,
                          Id::ahci_commands_trim,   Id::ahci_commands_trim,  Id::ahci_commands_identify,
                          Id::ahci_commands_packet, Id::ahci_commands_other, Id::ahci_commands_other,
                          Id::ahci_commands_unknown};
    static_assert(std::size(ids) == static_cast<std::size_t>(Operation::unknown) + 1);
    count(ids[static_cast<std::size_t>(command.operation)]);
    if (command.operation == Operation::reset)
        count(Id::ahci_port_resets);
    if (header.multiplier_port() != 0)
        count(Id::ahci_behind_multiplier);
}

void Port::record(Command const& command, CommandTable const& table, std::uint16_t flags)
{
    if (command.forced_unit_access)
        flags |= wire::record_flag::forced_unit_access;
    if (command.queued)
        flags |= wire::record_flag::queued;
    if (!command.address_known) {
        count(wire::CounterId::ahci_unknown_geometry);
        return;
    }
    std::uint64_t const sector = identity_.sector_bytes;
    observe::DiskCommand out{wire::Kind::storage_read, Lba{command.lba * (sector / 512)}, command.sectors * sector,
                             source_, flags};
    switch (command.operation) {
    case Operation::read:
        break;
    case Operation::write:
        out.kind = wire::Kind::storage_write;
        break;
    case Operation::flush:
        out = {wire::Kind::storage_flush, Lba{0}, 0, source_, flags};
        break;
    case Operation::zero:
        out.kind = wire::Kind::storage_trim;
        break;
    case Operation::trim:
        record_trim(command, table, flags);
        return;
    default:
        return;
    }
    PrdtExtents extents{table.prdt, out.bytes};
    hba_->observer->observe(out, extents);
}

void Port::record_trim(Command const& command, CommandTable const& table, std::uint16_t flags)
{
    PrdtExtents extents{table.prdt, data_bytes(command, identity_.sector_bytes)};
    TrimRanges ranges{*hba_->memory, extents, command.sectors};
    std::uint64_t const sector = identity_.sector_bytes;
    TrimRange range;
    while (ranges.next(range)) {
        PrdtExtents none{{}, 0};
        hba_->observer->observe(
            {wire::Kind::storage_trim, Lba{range.lba * (sector / 512)}, range.sectors * sector, source_, flags}, none);
    }
    if (!ranges.complete())
        count(wire::CounterId::ahci_bad_table);
}

void Port::follow(unsigned slot, CommandHeader const& header, Command const& command, CommandTable const& table)
{
    std::uint32_t const bit = 1U << slot;
    set_outstanding(outstanding_ | bit);
    queued_ = (active_written_ & bit) != 0 ? queued_ | bit : queued_ & ~bit;
    slots_[slot] = {table.fingerprint, static_cast<std::uint32_t>(table.prdt.size())};
    if (identify_slot_ == slot)
        identify_slot_ = no_slot;
    if (command.operation != Operation::identify || header.multiplier_port() != 0)
        return;
    PrdtExtents extents{table.prdt, identify_bytes};
    std::uint64_t bytes = 0;
    identify_extents_ = 0;
    while (identify_extents_ < identify_data_.size() && extents.next(identify_data_[identify_extents_]))
        bytes += identify_data_[identify_extents_++].bytes;
    if (bytes == identify_bytes)
        identify_slot_ = slot;
    else
        count(wire::CounterId::ahci_bad_table);
}

/// At most one read each of PxCI and PxSACT.
void Port::settle(bool compare)
{
    std::uint32_t busy = 0;
    if ((outstanding_ & ~queued_) != 0)
        busy |= load(px::ci) & ~queued_;
    if ((outstanding_ & queued_) != 0)
        busy |= load(px::sact) & queued_;
    settle_done(outstanding_ & ~busy, compare);
}

/// Tables of slots that are being reused are already the next command's: nothing to compare.
std::uint32_t Port::settle_unseen()
{
    std::uint32_t const issued = load(px::ci);
    settle_done(outstanding_ & ~(issued | (load(px::sact) & queued_)), false);
    return issued;
}

void Port::settle_done(std::uint32_t done, bool compare)
{
    set_outstanding(outstanding_ & ~done);
    announce_end(done);
    queued_ &= ~done;
    active_written_ &= ~done;
    for (std::uint32_t rest = done; rest != 0; rest &= rest - 1) {
        auto const slot = static_cast<unsigned>(std::countr_zero(rest));
        if (compare && hba_->verify_tables &&
            !table_unchanged(reader_, slot, slots_[slot].entries, slots_[slot].fingerprint)) {
            count(wire::CounterId::ahci_table_changed);
            warn(warned_changed_, "table changed after issue", slot);
        }
        if (slot == identify_slot_)
            finish_identify();
    }
}

void Port::finish_identify()
{
    identify_slot_ = no_slot;
    std::array<std::byte, identify_bytes> data{};
    std::size_t at = 0;
    for (unsigned i = 0; i < identify_extents_; ++i) {
        auto const part = std::span{data}.subspan(at, identify_data_[i].bytes);
        if (!hba_->memory->read(identify_data_[i].address, part)) {
            count(wire::CounterId::ahci_bad_table);
            return;
        }
        at += part.size();
    }
    std::uint16_t const sector_before = identity_.sector_bytes;
    if (!parse_identify(data, identity_)) {
        warn(warned_table_, "IDENTIFY DEVICE data not usable", 0);
        return;
    }
    if (identified_ && identity_.sector_bytes != sector_before)
        warn(warned_table_, "logical sector size changed", 0);
    identified_ = true;
    hba_->observer->describe(source_, identity_.sector_bytes, identity_.sectors * (identity_.sector_bytes / 512),
                             identity_.model, identity_.serial);
}

} // namespace undercroft::ahci
