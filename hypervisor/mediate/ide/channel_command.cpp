// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A write to the command register: the command is read back, judged, counted, recorded where no data must come first,
// and then the device gets it.
#include "hypervisor/mediate/ide/channel.hpp"
#include "hypervisor/mediate/ide/registers.hpp"

namespace undercroft::ide {
namespace {

using ata::Operation;

struct NoData final : observe::ExtentSource {
    bool next(observe::Extent&) override { return false; }
};

bool concerns_medium(Operation operation)
{
    return operation == Operation::read || operation == Operation::write || operation == Operation::flush ||
           operation == Operation::trim || operation == Operation::zero;
}

/// Native command queuing has no place on this interface.
ata::Command parse(ata::CommandFis const& fis, ata::Geometry geometry)
{
    ata::Command command = ata::parse_command(fis, geometry);
    if (command.queued || command.opcode == 0x64)
        command = {.operation = Operation::unknown, .opcode = command.opcode};
    return command;
}

} // namespace

/// A device that is busy or asks for data takes no command but DEVICE RESET, one that is not ready none that touches
/// the medium (ATA/ATAPI-6, 7.3 and 9). What is written at such a time could be taken or not, so it is kept back:
/// nothing must happen that has no record, and nothing recorded that does not happen.
bool Channel::can_take(std::uint8_t value, std::uint8_t now) const
{
    if (value == opcode::device_reset)
        return true;
    if ((now & (status::busy | status::data_request)) != 0)
        return false;
    return (now & status::ready) != 0 || !concerns_medium(command_.operation);
}

void Channel::command(std::uint16_t base, std::uint8_t value)
{
    std::uint8_t const now = quiet_status();
    if (value != opcode::device_reset && (now & (status::busy | status::data_request)) != 0) {
        count(wire::CounterId::ide_commands_not_ready);
        return warn(warned_not_ready_, "command while busy");
    }
    end_command(); // what came before is over, whether the guest has looked or not
    TaskFile::Taken const taken =
        task_file_.take(value, is_extended(value),
                        {controller_->ports, ports_.command_block, ports_.control, control_, control_known_});
    drive_ = taken.fis[7] >> 4 & 1U;
    command_ = parse(taken.fis, drive().identity.geometry);
    if (!can_take(value, now)) {
        count(wire::CounterId::ide_commands_not_ready);
        return warn(warned_not_ready_, "command while not ready");
    }
    if (taken.stale && concerns_medium(command_.operation) && command_.operation != Operation::flush)
        count(wire::CounterId::ide_registers_stale);
    count_command(value);
    note_settings(value, taken);
    begin(value);
    store(base, reg::command, value);
    task_file_.command_taken();
}

void Channel::note_settings(std::uint8_t value, TaskFile::Taken const& taken)
{
    constexpr unsigned count_at = 12, device_at = 7;
    if (value == opcode::set_multiple)
        drive().multiple = taken.fis[count_at];
    else if (value == opcode::initialise_parameters)
        drive().identity.geometry = {static_cast<std::uint16_t>((taken.fis[device_at] & 0xfU) + 1),
                                     taken.fis[count_at]};
    else if (value == opcode::device_reset)
        count(wire::CounterId::ide_resets);
}

void Channel::count_command(std::uint8_t value) const
{
    using Id = wire::CounterId;
    // In the order of Operation.
    constexpr Id ids[] = {Id::ide_commands_read,   Id::ide_commands_write, Id::ide_commands_flush,
                          Id::ide_commands_trim,   Id::ide_commands_trim,  Id::ide_commands_identify,
                          Id::ide_commands_packet, Id::ide_commands_other, Id::ide_commands_other,
                          Id::ide_commands_unknown};
    static_assert(std::size(ids) == static_cast<std::size_t>(Operation::unknown) + 1);
    count(ids[static_cast<std::size_t>(command_.operation)]);
    if (transfer_of(value) == Transfer::dma_queued)
        count(Id::ide_commands_queued);
}

std::uint64_t Channel::medium_bytes() const
{
    return command_.sectors * sector_bytes();
}

void Channel::begin(std::uint8_t value)
{
    set_busy(true);
    done_ = 0;
    captured_ = 0;
    header_recorded_ = false;
    if (concerns_medium(command_.operation) && !command_.address_known)
        count(wire::CounterId::ide_unknown_geometry);
    NoData none;
    switch (transfer_of(value)) {
    case Transfer::pio_in:
        record_now(0, medium_bytes(), none);
        return set_phase(Phase::pio_open);
    case Transfer::pio_out: {
        std::uint64_t const sectors = in_multiple_blocks(value) && drive().multiple != 0 ? drive().multiple : 1U;
        std::uint64_t const block = sectors * sector_bytes();
        block_ = static_cast<std::uint32_t>(block < capture_bytes ? block : capture_bytes);
        return set_phase(Phase::pio_out);
    }
    case Transfer::dma:
        if (command_.operation == Operation::other) // DATA SET MANAGEMENT without TRIM
            return;
        dma_pending_ = true;
        if (ports_.bus_master != 0 && (load(ports_.bus_master, bus_master::status) & bus_master::active) != 0)
            record_dma();
        return;
    case Transfer::dma_queued: // which tag's data comes when is the device's choice
        return record_now(0, medium_bytes(), none);
    case Transfer::identify:
        return set_phase(Phase::identify_in);
    case Transfer::packet:
        return set_phase(Phase::pio_open);
    case Transfer::other:
        if (command_.operation == Operation::flush || command_.operation == Operation::zero)
            record_now(0, medium_bytes(), none);
        return;
    }
}

/// Part of the command under way, counted in bytes from its first sector.
void Channel::record_now(std::uint64_t first_byte, std::uint64_t bytes, observe::ExtentSource& data,
                         std::uint16_t more_flags)
{
    if (!controller_->capture.load(std::memory_order_relaxed) || !command_.address_known)
        return;
    auto flags = static_cast<std::uint16_t>(controller_->common_flags.load(std::memory_order_relaxed) | more_flags);
    if (command_.forced_unit_access)
        flags |= wire::record_flag::forced_unit_access;
    observe::DiskCommand out{wire::Kind::storage_read, Lba{(command_.lba * sector_bytes() + first_byte) / 512}, bytes,
                             source(), flags};
    switch (command_.operation) {
    case Operation::read:
        break;
    case Operation::write:
        out.kind = wire::Kind::storage_write;
        break;
    case Operation::zero:
        out.kind = wire::Kind::storage_trim;
        break;
    default: // flush
        out = {wire::Kind::storage_flush, Lba{0}, 0, source(), flags};
        break;
    }
    controller_->observer->observe(out, data);
}

} // namespace undercroft::ide
