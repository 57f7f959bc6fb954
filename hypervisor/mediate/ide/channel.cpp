// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The channel's registers: what is followed, and what passes.
#include "hypervisor/mediate/ide/channel.hpp"

#include "hypervisor/core/log.hpp"
#include "hypervisor/mediate/ata/worth_logging.hpp"
#include "hypervisor/mediate/ide/registers.hpp"

namespace undercroft::ide {
namespace {

/// A 32-bit access to the data port covers the ports behind it.
constexpr unsigned data_ports = 4;

std::uint16_t port(std::uint16_t base, unsigned offset)
{
    return static_cast<std::uint16_t>(base + offset);
}

} // namespace

void Channel::attach(ControllerContext& controller, unsigned number, TableMemory table)
{
    controller_ = &controller;
    number_ = number;
    table_ = table;
}

void Channel::set_ports(ChannelPorts const& ports)
{
    if (phase_ == Phase::pio_open) {
        phase_ = Phase::quiet;
        task_file_.forget();
    }
    ports_ = ports;
}

std::uint8_t Channel::load(std::uint16_t base, unsigned offset) const
{
    return static_cast<std::uint8_t>(controller_->ports->load(port(base, offset), 1));
}

void Channel::store(std::uint16_t base, unsigned offset, std::uint8_t value) const
{
    controller_->ports->store(port(base, offset), 1, value);
}

std::uint16_t Channel::source() const
{
    return static_cast<std::uint16_t>(controller_->controller << 8 | number_ << 1 | drive_);
}

void Channel::warn(std::uint64_t& times, std::string_view what)
{
    if (!ata::worth_logging(++times))
        return;
    core::log(core::LogLevel::warning, core::str("ide "), core::dec(controller_->controller), core::str(" channel "),
              core::dec(number_), core::str(" drive "), core::dec(drive_), core::str(": "), core::str(what),
              core::str(", times "), core::dec(times));
}

/// The status without taking an interrupt back.
std::uint8_t Channel::quiet_status() const
{
    return ports_.control != 0 ? load(ports_.control, 0) : load(ports_.command_block, reg::status);
}

void Channel::set_busy(bool on)
{
    if (busy_ == on)
        return;
    busy_ = on;
    if (on)
        controller_->busy.fetch_or(1U << number_, std::memory_order_relaxed);
    else
        controller_->busy.fetch_and(~(1U << number_), std::memory_order_relaxed);
}

/// The data port shares its accesses' ports with registers that are followed. They are let go while data flows that
/// need not be seen: the device takes no register writes then (ATA/ATAPI-6, 7.1).
void Channel::set_phase(Phase phase)
{
    bool const was_open = phase_ == Phase::pio_open, open = phase == Phase::pio_open;
    phase_ = phase;
    if (was_open == open || ports_.command_block == 0)
        return;
    controller_->traps->trap_ports(ports_.command_block, data_ports, !open);
    if (was_open)
        task_file_.forget();
}

/// The device has ended the command, well or not, or has forgotten it.
void Channel::end_command()
{
    if (phase_ == Phase::pio_out && done_ < medium_bytes())
        count(wire::CounterId::ide_write_abandoned);
    set_phase(Phase::quiet);
    dma_pending_ = false;
    captured_ = 0;
    set_busy(false);
}

void Channel::saw_status(std::uint8_t value)
{
    if (busy_ && (value & (status::busy | status::data_request)) == 0)
        end_command();
}

void Channel::reset()
{
    end_command();
    task_file_.forget();
    for (Drive& each : drives_)
        each.multiple = 0; // the device may have gone back to its own default
    count(wire::CounterId::ide_resets);
}

void Channel::adopt()
{
    control_known_ = false;
    task_file_.forget();
    if (ports_.command_block != 0) {
        std::uint8_t const now = quiet_status();
        bool const present = now != 0xff; // a bus that nobody drives
        if (present && (now & (status::busy | status::data_request)) != 0) {
            count(wire::CounterId::ide_seen_late);
            warn(warned_table_, "a command is under way already; it is not recorded");
        }
    }
    if (ports_.bus_master == 0)
        return;
    guest_table_ = controller_->ports->load(port(ports_.bus_master, bus_master::table), 4);
    std::uint8_t const command_value = load(ports_.bus_master, bus_master::command);
    bool const running = command_value != 0xff && (command_value & bus_master::start) != 0 &&
                         (load(ports_.bus_master, bus_master::status) & bus_master::active) != 0;
    if (!running)
        return;
    copy_ = copy_prd_table(*controller_->memory, guest_table_, table_.table->entries);
    if (copy_.verdict == PrdVerdict::usable)
        return;
    count(wire::CounterId::ide_refused_dma);
    warn(warned_refused_, "stopped a transfer under way");
    store(ports_.bus_master, bus_master::command,
          static_cast<std::uint8_t>(command_value & ~unsigned{bus_master::start}));
}

void Channel::write_command_block(std::uint16_t base, unsigned offset, unsigned width, std::uint32_t value)
{
    if (offset == reg::data && width != 1)
        return write_data(base, width, value);
    if (width != 1 || offset == reg::data)
        count(wire::CounterId::ide_odd_access);
    if (offset == reg::data && phase_ == Phase::pio_out)
        return; // whether the device would take a byte or a word is its own affair: it gets neither
    for (unsigned i = 0; i < width; ++i) {
        unsigned const at = offset + i;
        auto const byte = static_cast<std::uint8_t>(value >> 8 * i);
        if (at == reg::command) {
            command(base, byte);
            continue;
        }
        if (at != reg::data && at < reg::command)
            task_file_.written(at, byte);
        store(base, at, byte);
    }
}

std::uint32_t Channel::read_command_block(std::uint16_t base, unsigned offset, unsigned width)
{
    if (offset == reg::data)
        return read_data(base, width);
    std::uint32_t const value = controller_->ports->load(port(base, offset), width);
    if (offset + width > reg::status)
        saw_status(static_cast<std::uint8_t>(value >> 8 * (reg::status - offset)));
    return value;
}

void Channel::write_control(std::uint16_t at, std::uint8_t value)
{
    control_ = value;
    control_known_ = true;
    if ((value & control::software_reset) != 0)
        reset();
    store(at, 0, value);
}

std::uint8_t Channel::read_control(std::uint16_t at)
{
    std::uint8_t const value = load(at, 0);
    saw_status(value);
    return value;
}

} // namespace undercroft::ide
