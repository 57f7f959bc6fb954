// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Guest memory that the HBA writes to, told to who must look at it before (memory/device_writes.hpp).
#include <bit>

#include "hypervisor/mediate/ahci/port.hpp"

namespace undercroft::ahci {
namespace {

bool only_reads_memory(Operation operation)
{
    return operation == Operation::write || operation == Operation::flush || operation == Operation::trim ||
           operation == Operation::zero;
}

/// Whole pages.
memory::PageRange pages_of(std::uint64_t begin, std::uint64_t bytes)
{
    std::uint64_t const first = begin & ~(page_bytes - 1);
    return {Gpa{first}, (begin + bytes + page_bytes - 1 - first) & ~(page_bytes - 1)};
}

} // namespace

/// All of the table: what a device does with a command that nobody knows is not known either.
void Port::announce(unsigned slot, Command const& command, CommandTable const& table)
{
    auto* const writes = hba_->device_writes.load(std::memory_order_acquire);
    if (writes == nullptr || only_reads_memory(command.operation) || table.prdt.empty())
        return;
    memory::WriteTicket const ticket = writes->command_begins();
    for (PrdtEntry const& entry : table.prdt)
        writes->device_will_write(ticket, Gpa{entry.address().value & hba_->address_mask}, entry.bytes());
    announce_end(1U << slot); // of a command that is still known in this slot
    tickets_[slot] = ticket;
    announced_ |= 1U << slot;
}

void Port::announce_end(std::uint32_t slots)
{
    auto* const writes = hba_->device_writes.load(std::memory_order_acquire);
    for (std::uint32_t rest = slots & announced_; rest != 0; rest &= rest - 1)
        writes->command_ended(tickets_[static_cast<unsigned>(std::countr_zero(rest))]);
    announced_ &= ~slots;
}

/// Before the HBA may write there. From then on it may at any time.
void Port::announce_standing()
{
    standing_list_.begin.store(reader_.list.value, std::memory_order_relaxed);
    standing_list_.bytes.store(started_ ? command_list_bytes : 0, std::memory_order_release);
    standing_fis_.begin.store(received_fis_.value, std::memory_order_relaxed);
    standing_fis_.bytes.store(receives_fis_ ? fis_bytes() : 0, std::memory_order_release);
    auto* const writes = hba_->device_writes.load(std::memory_order_acquire);
    if (writes == nullptr || !(started_ || receives_fis_))
        return;
    memory::WriteTicket const ticket = writes->command_begins();
    if (started_)
        writes->device_will_write(ticket, reader_.list, command_list_bytes);
    if (receives_fis_)
        writes->device_will_write(ticket, received_fis_, fis_bytes());
    writes->command_ended(ticket);
}

void Port::standing_targets(memory::RangeVisitor& targets) const
{
    for (Standing const* const standing : {&standing_list_, &standing_fis_})
        if (std::uint64_t const bytes = standing->bytes.load(std::memory_order_acquire); bytes != 0)
            targets.visit(pages_of(standing->begin.load(std::memory_order_relaxed), bytes));
}

} // namespace undercroft::ahci
