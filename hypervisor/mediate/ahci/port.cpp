// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The port's registers: what the mediator follows, and what it refuses.
#include "hypervisor/mediate/ahci/port.hpp"

#include "hypervisor/core/log.hpp"
#include "hypervisor/mediate/ata/worth_logging.hpp"

namespace undercroft::ahci {
namespace {

constexpr std::uint64_t join(std::uint32_t low, std::uint32_t high)
{
    return low | static_cast<std::uint64_t>(high) << 32;
}

} // namespace

void Port::attach(HbaContext& hba, unsigned number)
{
    hba_ = &hba;
    registers_ = hba::first_port + number * hba::port_bytes;
    source_ = static_cast<std::uint16_t>(hba.controller << 8 | number);
}

std::uint32_t Port::load(std::uint32_t reg) const
{
    return static_cast<std::uint32_t>(hba_->bus->load(registers_ + reg, 4));
}

void Port::warn(std::uint64_t& times, std::string_view what, unsigned slot)
{
    if (!ata::worth_logging(++times))
        return;
    core::log(core::LogLevel::warning, core::str("ahci "), core::dec(source_ >> 8), core::str(" port "),
              core::dec(source_ & 0xffU), core::str(" slot "), core::dec(slot), core::str(": "), core::str(what),
              core::str(", times "), core::dec(times));
}

void Port::set_outstanding(std::uint32_t slots)
{
    std::uint32_t const bit = 1U << (source_ & 0x1fU);
    if (outstanding_ == 0 && slots != 0)
        hba_->busy_ports.fetch_or(bit, std::memory_order_relaxed);
    else if (outstanding_ != 0 && slots == 0)
        hba_->busy_ports.fetch_and(~bit, std::memory_order_relaxed);
    outstanding_ = slots;
}

/// The HBA's own idea of the addresses counts, read back after each write: reserved bits
/// and the upper halves of a 32-bit HBA are what it makes of them.
void Port::read_addresses()
{
    reader_.memory = hba_->memory;
    reader_.seed = hba_->fingerprint_seed;
    reader_.address_mask = hba_->address_mask;
    reader_.list = Gpa{join(load(px::clb), load(px::clbu)) & hba_->address_mask};
    received_fis_ = Gpa{join(load(px::fb), load(px::fbu)) & hba_->address_mask};
    fis_switching_ = (load(px::fbs) & px::fbs_enable) != 0;
}

void Port::adopt()
{
    read_addresses();
    std::uint32_t const cmd = load(px::cmd);
    started_ = (cmd & px::cmd_start) != 0;
    receives_fis_ = (cmd & px::cmd_fis_receive) != 0;
    announce_standing();
    if (!started_) {
        forget();
        return;
    }
    std::uint32_t const active = load(px::sact);
    std::uint32_t const fresh = (load(px::ci) | active) & ~outstanding_;
    active_written_ |= active;
    if (fresh == 0)
        return;
    count(wire::CounterId::ahci_seen_late, static_cast<std::uint64_t>(__builtin_popcount(fresh)));
    static_cast<void>(issue(fresh, wire::record_flag::seen_late)); // too late to refuse; refusals are counted
}

std::uint32_t Port::before_write(std::uint32_t reg, std::uint32_t mask, std::uint32_t value)
{
    switch (reg) {
    case px::clb:
    case px::clbu:
    case px::fb:
    case px::fbu:
        return judge_base(reg, mask, value);
    case px::cmd:
        return judge_cmd(mask, value);
    case px::sctl:
        judge_sctl(mask, value);
        return value;
    case px::sact:
        // The guest may have seen completions that we have not looked for. After this write
        // the slot's bit is set again and would hide them.
        if ((value & mask & outstanding_) != 0)
            settle_unseen();
        active_written_ |= value & mask;
        return value;
    case px::ci:
        return judge_ci(value & mask);
    case px::fbs:
        if (receives_fis_ && (mask & value & px::fbs_enable) != 0 && !fis_switching_ &&
            hba_->memory->touches_sensor(received_fis_, received_fis_switched_bytes)) {
            static_cast<void>(refuse(0, "PxFBS would aim received FISes at the sensor"));
            return value & ~px::fbs_enable;
        }
        return value;
    default:
        return value;
    }
}

void Port::after_write(std::uint32_t reg)
{
    switch (reg) {
    case px::clb:
    case px::clbu:
    case px::fb:
    case px::fbu:
    case px::fbs:
        read_addresses();
        announce_standing();
        break;
    case px::is:
        // After the store: what completes from here on raises PxIS anew.
        if (outstanding_ != 0 && (hba_->verify_tables || identify_slot_ != no_slot))
            settle(true);
        break;
    default:
        break;
    }
}

/// The two halves of an address are written one after the other, and the value between may point
/// anywhere. So an address is judged when it is put to use (PxCMD), or when it changes while in use.
std::uint32_t Port::judge_base(std::uint32_t reg, std::uint32_t mask, std::uint32_t value)
{
    bool const is_list = reg == px::clb || reg == px::clbu;
    if (!(is_list ? started_ : receives_fis_))
        return value;
    unsigned const shift = (reg & 4U) != 0 ? 32 : 0;
    std::uint64_t const now = (is_list ? reader_.list : received_fis_).value;
    std::uint64_t const bits = std::uint64_t{mask} << shift;
    Gpa const then{((now & ~bits) | (std::uint64_t{value} << shift & bits)) & hba_->address_mask};
    std::uint64_t const bytes = is_list ? command_list_bytes : fis_bytes();
    if (!hba_->memory->touches_sensor(then, bytes))
        return value;
    static_cast<void>(refuse(0, is_list ? "PxCLB aimed at the sensor" : "PxFB aimed at the sensor"));
    return static_cast<std::uint32_t>(now >> shift);
}

std::uint32_t Port::judge_cmd(std::uint32_t mask, std::uint32_t value)
{
    bool const start_after = (mask & px::cmd_start) != 0 ? (value & px::cmd_start) != 0 : started_;
    bool const fis_after = (mask & px::cmd_fis_receive) != 0 ? (value & px::cmd_fis_receive) != 0 : receives_fis_;
    if (started_ && !start_after) {
        if (outstanding_ != 0)
            settle(true);
        forget();
        count(wire::CounterId::ahci_port_resets);
    }
    bool const starting = !started_ && start_after;
    bool const receiving = !receives_fis_ && fis_after;
    if (starting || receiving)
        read_addresses();
    started_ = start_after;
    receives_fis_ = fis_after;
    if (receiving && hba_->memory->touches_sensor(received_fis_, fis_bytes())) {
        static_cast<void>(refuse(0, "PxFB aimed at the sensor"));
        value &= ~px::cmd_fis_receive;
        receives_fis_ = false;
    }
    if (starting && !start()) {
        value &= ~px::cmd_start;
        started_ = false;
        forget();
    }
    announce_standing();
    return value;
}

/// By the specification PxCI cannot be set while ST is clear; an HBA that keeps such bits would
/// run them now, so they are read here.
bool Port::start()
{
    if (hba_->memory->touches_sensor(reader_.list, command_list_bytes)) {
        static_cast<void>(refuse(0, "PxCLB aimed at the sensor"));
        return false;
    }
    std::uint32_t const latched = load(px::ci);
    return latched == 0 || issue(latched, 0) == latched;
}

std::uint32_t Port::judge_ci(std::uint32_t value)
{
    if (!started_)
        return value;
    if ((value & outstanding_) != 0 || identify_slot_ != no_slot) {
        std::uint32_t const issued = settle_unseen();
        std::uint32_t const again = value & outstanding_;
        count(wire::CounterId::ahci_slot_reissued, static_cast<std::uint64_t>(__builtin_popcount(again)));
        // Setting a bit that is set does nothing, unless the command ends just before the
        // write: then an unread table would run. So these bits are not written again.
        value &= ~(again & issued);
    }
    return issue(value, 0);
}

void Port::judge_sctl(std::uint32_t mask, std::uint32_t value)
{
    if ((mask & value & px::sctl_detection) != px::sctl_comreset)
        return;
    forget();
    count(wire::CounterId::ahci_port_resets);
}

void Port::reset()
{
    forget();
    started_ = receives_fis_ = false;
    announce_standing();
}

void Port::forget()
{
    announce_end(~0U);
    set_outstanding(0);
    queued_ = active_written_ = 0;
    identify_slot_ = no_slot;
}

Port::Verdict Port::refuse(unsigned slot, std::string_view why)
{
    count(wire::CounterId::ahci_refused_dma);
    warn(warned_refused_, why, slot);
    return Verdict::refuse;
}

} // namespace undercroft::ahci
