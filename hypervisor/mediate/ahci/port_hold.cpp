// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Writes that the HBA is not told of until they are released. To the guest the disk is slow: it goes on seeing the
// slot's bit in PxCI (the mediator adds it) and in PxSACT (the HBA keeps it until the device answers).
#include <bit>

#include "hypervisor/mediate/ahci/port.hpp"

namespace undercroft::ahci {

/// The command is only looked at: it is judged, counted and recorded when it is issued.
Operation Port::peek(unsigned slot, bool& may_change) const
{
    CommandHeader header;
    CommandFis fis;
    may_change = false;
    // What cannot be read is refused by who issues it.
    if (!read_header(reader_, slot, header) || !read_fis(reader_, header, fis))
        return Operation::other;
    Command const command = ata::parse_command(fis, identity_.geometry);
    may_change = may_change_medium(command);
    return command.operation;
}

bool Port::has_changing(std::uint32_t slots) const
{
    for (std::uint32_t rest = slots; rest != 0; rest &= rest - 1) {
        bool changing = false;
        static_cast<void>(peek(static_cast<unsigned>(std::countr_zero(rest)), changing));
        if (changing)
            return true;
    }
    return false;
}

/// Returns the slots that may go on to the HBA. A flush is held when something is held that came before it.
std::uint32_t Port::hold(std::uint32_t slots)
{
    std::uint32_t passing = slots, flushes = 0;
    for (std::uint32_t rest = slots; rest != 0; rest &= rest - 1) {
        auto const slot = static_cast<unsigned>(std::countr_zero(rest));
        bool changing = false;
        if (peek(slot, changing) == Operation::flush)
            flushes |= 1U << slot;
        if (!changing)
            continue;
        hold_slot(slot);
        passing &= ~(1U << slot);
    }
    if (held_ == 0)
        return passing;
    for (std::uint32_t rest = flushes; rest != 0; rest &= rest - 1)
        hold_slot(static_cast<unsigned>(std::countr_zero(rest)));
    return passing & ~flushes;
}

void Port::hold_slot(unsigned slot)
{
    count(wire::CounterId::ahci_commands_held);
    held_ |= 1U << slot;
    held_order_[held_count_++] =
        static_cast<std::uint8_t>(slot); // each slot is in it once: judge_ci takes held ones out
    hba_->held_ports.fetch_or(1U << (source_ & 0x1fU), std::memory_order_relaxed);
}

void Port::release_held()
{
    for (unsigned i = 0; i < held_count_; ++i) {
        std::uint32_t const allowed = issue(1U << held_order_[i], 0);
        if (allowed != 0)
            hba_->bus->store(registers_ + px::ci, 4, allowed);
    }
    held_ = 0;
    held_count_ = 0;
    hba_->held_ports.fetch_and(~(1U << (source_ & 0x1fU)), std::memory_order_relaxed);
}

/// The port was stopped or reset: the guest knows that its commands are gone.
void Port::drop_held()
{
    if (held_count_ == 0)
        return;
    count(wire::CounterId::ahci_held_dropped, held_count_);
    held_ = 0;
    held_count_ = 0;
    hba_->held_ports.fetch_and(~(1U << (source_ & 0x1fU)), std::memory_order_relaxed);
}

} // namespace undercroft::ahci
