// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/run_ahead.hpp"

#include <cstring>
#include <optional>

#include "hypervisor/decode/alu.hpp"
#include "hypervisor/paging/supervisor_walk.hpp"

namespace undercroft::decode {
namespace {

constexpr unsigned rcx = 1;
constexpr std::uint64_t offset_in_page = page_bytes - 1;

void set_register(backend::Registers& registers, unsigned index, unsigned width, bool high, std::uint64_t value)
{
    std::uint64_t& reg = registers.gpr[index];
    unsigned const shift = high ? 8 : 0;
    std::uint64_t const mask = width >= 4 ? ~0ULL : truncate(~0ULL, width) << shift;
    reg = (reg & ~mask) | ((truncate(value, width) << shift) & mask);
}

/// Lets emulate() use a register where it would use memory.
class RegisterPlace final : public core::MmioHandler {
public:
    RegisterPlace(backend::Registers& registers, DecodedStep const& step)
        : registers_{&registers}, index_{step.place_index}, high_{step.place_high}
    {
    }
    std::uint64_t read(std::uint64_t, unsigned width) override
    {
        return truncate(registers_->gpr[index_] >> (high_ ? 8 : 0), width);
    }
    void write(std::uint64_t, unsigned width, std::uint64_t value) override
    {
        set_register(*registers_, index_, width, high_, value);
    }

private:
    backend::Registers* registers_;
    unsigned index_;
    bool high_;
};

/// Guest RAM that is only read; what was read is all that emulate() can see of it.
class LoadedPlace final : public core::MmioHandler {
public:
    explicit LoadedPlace(std::uint64_t value) : value_{value} {}
    std::uint64_t read(std::uint64_t, unsigned width) override { return truncate(value_, width); }
    void write(std::uint64_t, unsigned, std::uint64_t) override {}

private:
    std::uint64_t value_;
};

template <typename T>
std::uint64_t load_once(std::byte const* at)
{
    struct [[gnu::packed, gnu::may_alias]] Cell {
        T value;
    };
    return reinterpret_cast<Cell const volatile*>(at)->value;
}

/// One load of exactly this width, as the processor makes it: other CPUs may be writing.
std::uint64_t load(std::byte const* at, unsigned width)
{
    switch (width) {
    case 1:
        return load_once<std::uint8_t>(at);
    case 2:
        return load_once<std::uint16_t>(at);
    case 4:
        return load_once<std::uint32_t>(at);
    default:
        return load_once<std::uint64_t>(at);
    }
}

/// Finds code in `context`'s page or, where that is another one, checks it.
bool find_code(RunAheadContext& context, std::uint64_t page)
{
    if (page == context.code_page)
        return true;
    auto const where = paging::translate_supervisor(context.memory, context.paging, Gva{page});
    if (!where || !where->executable || !where->plain_type)
        return false;
    context.code_page = page;
    context.code_gpa = where->gpa;
    return true;
}

/// Up to 16 bytes at RIP; fewer where the next page cannot be had.
std::size_t fetch(RunAheadContext& context, std::array<std::uint8_t, 16>& bytes)
{
    std::size_t got = 0;
    while (got < bytes.size()) {
        std::uint64_t const at = context.rip + got;
        std::uint64_t const inside = at & offset_in_page;
        std::size_t const piece = bytes.size() - got < page_bytes - inside ? bytes.size() - got : page_bytes - inside;
        if (!find_code(context, at - inside))
            return got;
        std::byte const* const place = context.memory.view(Gpa{context.code_gpa.value + inside}, piece);
        if (place == nullptr)
            return got;
        if (piece == bytes.size())
            __builtin_memcpy(bytes.data(), place, sizeof(bytes)); // the usual case, in place
        else
            std::memcpy(bytes.data() + got, place, piece);
        got += piece;
    }
    return got;
}

std::uint64_t address(RunAheadContext const& context, DecodedStep const& step)
{
    auto const value = [&](unsigned reg) {
        if (reg == DecodedStep::instruction_pointer)
            return context.rip + step.access.length;
        return reg < 16 ? context.registers.gpr[reg] : 0;
    };
    std::uint64_t const sum =
        value(step.base) + value(step.index) * step.scale + static_cast<std::uint64_t>(step.displacement);
    return truncate(sum, step.address_width);
}

bool holds(unsigned condition, std::uint64_t rflags)
{
    auto const set = [&](std::uint64_t bits) { return (rflags & bits) != 0; };
    bool const less = set(flag::sign) != set(flag::overflow);
    bool const positive[8] = {set(flag::overflow),
                              set(flag::carry),
                              set(flag::zero),
                              set(flag::carry | flag::zero),
                              set(flag::sign),
                              set(flag::parity),
                              less,
                              less || set(flag::zero)};
    return positive[condition >> 1 & 7] != ((condition & 1) != 0);
}

/// The memory operand, checked: guest RAM that was loaded from, or a watched device's register.
struct MemoryPlace {
    bool device;
    Gpa gpa;
    std::uint64_t loaded;
};

paging::SupervisorTranslation const* find_operand(RunAheadContext& context, std::uint64_t page)
{
    for (OperandPages::Entry const& entry : context.operands.entries)
        if (entry.page == page)
            return &entry.where;
    auto const where = paging::translate_supervisor(context.memory, context.paging, Gva{page});
    if (!where)
        return nullptr;
    OperandPages::Entry& entry = context.operands.entries[context.operands.next++ % 4];
    entry = {page, *where};
    return &entry.where;
}

std::optional<MemoryPlace> find_memory(RunAheadContext& context, DecodedStep const& step)
{
    Gva const linear{address(context, step)};
    unsigned const width = step.access.width;
    std::uint64_t const inside = linear.value & offset_in_page;
    if (inside + width > page_bytes)
        return {};
    auto const* const where = find_operand(context, linear.value - inside);
    bool const store = step.access.operation == Operation::store;
    if (where == nullptr || (store && !where->writable))
        return {};
    Gpa const gpa = where->gpa + inside;
    if (std::byte const* const ram = context.memory.view(gpa, width); ram != nullptr) {
        if (store || !where->plain_type)
            return {};
        return MemoryPlace{false, gpa, load(ram, width)};
    }
    // Both ends: a range may begin or end within the operand.
    if (!context.is_watched(context.owner, gpa) || !context.is_watched(context.owner, gpa + (width - 1)))
        return {};
    return MemoryPlace{true, gpa, 0};
}

StepResult perform_access(RunAheadContext& context, DecodedStep const& step)
{
    auto const run = [&](core::MmioHandler& handler, std::uint64_t offset) {
        return emulate(step.access, context.registers, context.paging.rflags, handler, offset, nullptr) ==
               Progress::done;
    };
    if (!step.place_is_memory) {
        RegisterPlace place{context.registers, step};
        return run(place, 0) ? StepResult::done : StepResult::stopped;
    }
    auto const memory = find_memory(context, step);
    if (!memory)
        return StepResult::stopped;
    if (memory->device)
        return run(context.handler, memory->gpa.value) ? StepResult::device_access : StepResult::stopped;
    LoadedPlace place{memory->loaded};
    return run(place, 0) ? StepResult::done : StepResult::stopped;
}

/// SHL, SHR, SAR. A masked count of 0 leaves the flags alone; overflow is defined for a count of 1 only.
void perform_shift(RunAheadContext& context, DecodedStep const& step)
{
    unsigned const width = step.access.width, bits = 8 * width;
    RegisterPlace place{context.registers, step};
    std::uint64_t const old = place.read(0, width);
    std::uint64_t const given = step.access.has_immediate ? step.access.immediate : context.registers.gpr[rcx];
    auto const count = static_cast<unsigned>(given & (width == 8 ? 63 : 31));
    unsigned const unused = 64 - bits;
    auto const extended = static_cast<std::int64_t>(old << unused) >> unused;
    std::uint64_t value = old;
    bool carry = false, overflow = false;
    if (count != 0) {
        switch (step.shift) {
        case Shift::left:
            value = truncate(old << count, width);
            carry = count <= bits && (old >> (bits - count) & 1) != 0;
            overflow = ((value >> (bits - 1) & 1) != 0) != carry;
            break;
        case Shift::right:
            value = old >> count;
            carry = (old >> (count - 1) & 1) != 0;
            overflow = (old >> (bits - 1) & 1) != 0;
            break;
        case Shift::right_signed:
            value = truncate(static_cast<std::uint64_t>(extended >> count), width);
            carry = (extended >> (count - 1) & 1) != 0;
            break;
        }
        std::uint64_t flags = context.paging.rflags;
        (void)compute(Alu::bit_or, value, 0, width, flags); // sign, zero, parity of the result
        flags |= (carry ? flag::carry : 0) | (overflow ? flag::overflow : 0);
        context.paging.rflags = flags;
    }
    place.write(0, width, value); // even unchanged, 32 bits clear the upper half
}

StepResult perform_move(RunAheadContext& context, DecodedStep const& step)
{
    std::uint64_t value = 0;
    if (step.place_is_memory) {
        auto const memory = find_memory(context, step); // is read whether or not the condition holds
        if (!memory || memory->device)
            return StepResult::stopped;
        value = memory->loaded;
    } else {
        value = context.registers.gpr[step.place_index];
    }
    unsigned const index = step.access.register_index;
    bool const moves = holds(step.condition, context.paging.rflags);
    set_register(context.registers, index, step.access.register_width, false,
                 moves ? value : context.registers.gpr[index]);
    return StepResult::done;
}

StepResult perform(RunAheadContext& context, DecodedStep const& step, std::uint64_t& next)
{
    switch (step.kind) {
    case StepKind::nothing:
        return StepResult::done;
    case StepKind::access:
        return perform_access(context, step);
    case StepKind::effective_address:
        set_register(context.registers, step.access.register_index, step.access.register_width, false,
                     address(context, step));
        return StepResult::done;
    case StepKind::shift:
        perform_shift(context, step);
        return StepResult::done;
    case StepKind::set_condition:
        RegisterPlace{context.registers, step}.write(0, 1, holds(step.condition, context.paging.rflags));
        return StepResult::done;
    case StepKind::move_condition:
        return perform_move(context, step);
    case StepKind::jump_condition:
        if (!holds(step.condition, context.paging.rflags))
            return StepResult::done;
        [[fallthrough]];
    case StepKind::jump:
        next += static_cast<std::uint64_t>(step.displacement);
        return paging::is_canonical(context.paging, next) ? StepResult::done : StepResult::stopped;
    case StepKind::stop:
        break;
    }
    return StepResult::stopped;
}

} // namespace

bool may_run_ahead(backend::PagingState const& paging)
{
    constexpr std::uint64_t cr0_pg = 1ULL << 31, trap = 1ULL << 8, resume = 1ULL << 16;
    return code_mode(paging) == CodeMode::bits64 && (paging.cr0 & cr0_pg) != 0 && paging.cpl == 0 &&
           (paging.rflags & (trap | resume)) == 0;
}

StepResult perform_step(RunAheadContext& context, StepCache& cache)
{
    std::array<std::uint8_t, 16> bytes{};
    std::size_t const got = fetch(context, bytes);
    DecodedStep const& step = cache.decode({bytes.data(), got}, CodeMode::bits64);
    std::uint64_t next = context.rip + step.access.length;
    StepResult const result = perform(context, step, next);
    if (result != StepResult::stopped)
        context.rip = next;
    return result;
}

RunAheadTable::Entry& RunAheadTable::entry(std::uint64_t rip)
{
    Entry& found = entries_[rip * 0x9E37'79B9'7F4A'7C15ULL >> 58];
    static_assert(entries == 1U << (64 - 58));
    if (found.rip != rip)
        found = {.rip = rip, .trials_left = trials, .rest = 0};
    return found;
}

bool RunAheadTable::worth_trying(std::uint64_t rip)
{
    Entry& e = entry(rip);
    if (e.rest != 0 && --e.rest != 0)
        return false;
    if (e.trials_left == 0)
        e.trials_left = 1;
    return true;
}

void RunAheadTable::learn(std::uint64_t rip, bool reached)
{
    Entry& e = entry(rip);
    if (reached)
        e.trials_left = trials;
    else if (e.trials_left != 0 && --e.trials_left == 0)
        e.rest = rest_visits;
}

} // namespace undercroft::decode
