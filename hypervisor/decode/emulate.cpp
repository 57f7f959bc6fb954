// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/emulate.hpp"

#include "hypervisor/decode/alu.hpp"
#include "hypervisor/paging/guest_walk.hpp"

namespace undercroft::decode {
namespace {

constexpr unsigned rax = 0, rcx = 1, rsi = 6, rdi = 7;

/// One instruction's view of its operands.
struct Operands {
    DecodedAccess const& access;
    backend::Registers& registers;
    core::MmioHandler& handler;
    std::uint64_t offset;

    [[nodiscard]] std::uint64_t load() const { return truncate(handler.read(offset, access.width), access.width); }
    void store(std::uint64_t value) const { handler.write(offset, access.width, truncate(value, access.width)); }

    /// The register or immediate operand.
    [[nodiscard]] std::uint64_t other() const
    {
        if (access.has_immediate)
            return access.immediate;
        std::uint64_t const value = registers.gpr[access.register_index];
        return truncate(access.register_high ? value >> 8 : value, access.register_width);
    }
    void set_other(std::uint64_t value) const
    {
        set(access.register_index, access.register_width, value, access.register_high);
    }
    /// 64 bits replace, 32 bits clear the upper half, 16 and 8 bits merge.
    void set(unsigned index, unsigned width, std::uint64_t value, bool high = false) const
    {
        std::uint64_t& reg = registers.gpr[index];
        unsigned const shift = high ? 8 : 0;
        std::uint64_t const mask = width >= 4 ? ~0ULL : truncate(~0ULL, width) << shift;
        reg = (reg & ~mask) | ((truncate(value, width) << shift) & mask);
    }
    [[nodiscard]] std::uint64_t address_register(unsigned index) const
    {
        return truncate(registers.gpr[index], access.address_width);
    }
    void advance(unsigned index, std::uint64_t by) const
    {
        set(index, access.address_width, registers.gpr[index] + by);
    }
};

std::uint64_t sign_extend(std::uint64_t value, unsigned width)
{
    unsigned const shift = 64 - 8 * width;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
}

void compare_exchange(Operands const& o, std::uint64_t& rflags)
{
    unsigned const width = o.access.width;
    std::uint64_t const old = o.load();
    std::uint64_t const expected = truncate(o.registers.gpr[rax], width);
    (void)compute(Alu::sub, expected, old, width, rflags);
    // The processor makes a write cycle in either case (Intel SDM vol. 2A, CMPXCHG).
    o.store(expected == old ? o.other() : old);
    if (expected != old)
        o.set(rax, width, old);
}

void exchange_add(Operands const& o, std::uint64_t& rflags)
{
    std::uint64_t const old = o.load();
    std::uint64_t const sum = compute(Alu::add, old, o.other(), o.access.width, rflags);
    o.set_other(old);
    o.store(sum);
}

void bit_operation(Operands const& o, std::uint64_t& rflags)
{
    std::uint64_t const value = compute(o.access.alu, o.load(), o.other(), o.access.width, rflags);
    if (o.access.alu != Alu::bit_test)
        o.store(value);
}

void compare(Operands const& o, std::uint64_t& rflags)
{
    std::uint64_t const memory = o.load(), other = o.other();
    bool const first = o.access.memory_first;
    (void)compute(o.access.alu, first ? memory : other, first ? other : memory, o.access.width, rflags);
}

/// Whether all bytes of MOVS's destination may be written; a device's register is read only then.
bool writable(StringContext const& context, Gva linear, unsigned width)
{
    for (unsigned byte = 0; byte < width; byte += width - 1 > 0 ? width - 1 : 1) {
        Gva const at = paging::wrap_linear(context.paging, linear.value + byte);
        auto const where = paging::translate(*context.memory, context.paging, at, paging::WalkAccess::write);
        if (!where || context.memory->view(where->gpa, 1) == nullptr)
            return false;
    }
    return true;
}

bool move_string(Operands const& o, StringContext const& context)
{
    std::uint64_t value = 0;
    auto const bytes = std::as_writable_bytes(std::span{&value, 1}).first(o.access.width);
    if (context.mmio_is_destination) {
        Gva const from = paging::wrap_linear(context.paging, context.source_base + o.address_register(rsi));
        if (!paging::read_virtual(*context.memory, context.paging, from, bytes))
            return false;
        o.store(value);
        return true;
    }
    Gva const to = paging::wrap_linear(context.paging, context.destination_base + o.address_register(rdi));
    if (!writable(context, to, o.access.width))
        return false;
    value = o.load();
    return paging::write_virtual(*context.memory, context.paging, to, bytes).has_value();
}

/// One round. The processor does not touch memory at all when REP's count is 0.
Progress string_round(Operands const& o, std::uint64_t rflags, StringContext const* context)
{
    if (o.access.repeat && o.address_register(rcx) == 0)
        return Progress::done;
    std::uint64_t const step = rflags & flag::direction ? 0 - std::uint64_t{o.access.width} : o.access.width;
    switch (o.access.operation) {
    case Operation::store_string:
        o.store(o.registers.gpr[rax]);
        o.advance(rdi, step);
        break;
    case Operation::load_string:
        o.set(rax, o.access.width, o.load());
        o.advance(rsi, step);
        break;
    default:
        if (context == nullptr || !move_string(o, *context))
            return Progress::unknown;
        o.advance(rsi, step);
        o.advance(rdi, step);
        break;
    }
    if (!o.access.repeat)
        return Progress::done;
    o.advance(rcx, ~0ULL);
    return o.address_register(rcx) == 0 ? Progress::done : Progress::more;
}

} // namespace

Progress emulate(DecodedAccess const& access, backend::Registers& registers, std::uint64_t& rflags,
                 core::MmioHandler& handler, std::uint64_t offset, StringContext const* context)
{
    Operands const o{access, registers, handler, offset};
    switch (access.operation) {
    case Operation::unknown:
        return Progress::unknown;
    case Operation::load:
    case Operation::load_zero_extend:
        o.set_other(o.load());
        break;
    case Operation::load_sign_extend:
        o.set_other(sign_extend(o.load(), access.width));
        break;
    case Operation::store:
        o.store(o.other());
        break;
    case Operation::to_memory:
        o.store(compute(access.alu, o.load(), o.other(), access.width, rflags));
        break;
    case Operation::to_register:
        o.set_other(compute(access.alu, o.other(), o.load(), access.width, rflags));
        break;
    case Operation::compare:
        compare(o, rflags);
        break;
    case Operation::exchange: {
        std::uint64_t const old = o.load();
        o.store(o.other());
        o.set_other(old);
        break;
    }
    case Operation::exchange_add:
        exchange_add(o, rflags);
        break;
    case Operation::compare_exchange:
        compare_exchange(o, rflags);
        break;
    case Operation::bit:
        bit_operation(o, rflags);
        break;
    case Operation::move_string:
    case Operation::store_string:
    case Operation::load_string:
        return string_round(o, rflags, context);
    }
    return Progress::done;
}

} // namespace undercroft::decode
