// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/alu.hpp"

#include <bit>

namespace undercroft::decode {
namespace {

std::uint64_t when(bool condition, std::uint64_t bits)
{
    return condition ? bits : 0;
}

std::uint64_t result_flags(std::uint64_t value, unsigned width)
{
    bool const even = std::popcount(value & 0xFF) % 2 == 0;
    bool const negative = (value >> (8 * width - 1) & 1) != 0;
    return when(value == 0, flag::zero) | when(negative, flag::sign) | when(even, flag::parity);
}

void set_flags(std::uint64_t& rflags, std::uint64_t which, std::uint64_t values)
{
    rflags = (rflags & ~which) | (values & which);
}

/// The carry out of each bit position tells carry, adjust and overflow at once.
std::uint64_t carry_flags(std::uint64_t carries, unsigned width)
{
    bool const out = (carries >> (8 * width - 1) & 1) != 0;
    bool const into_sign = (carries >> (8 * width - 2) & 1) != 0;
    return when(out, flag::carry) | when(out != into_sign, flag::overflow) | when(carries >> 3 & 1, flag::adjust);
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b, bool carry, unsigned width, std::uint64_t& flags)
{
    std::uint64_t const value = truncate(a + b + carry, width);
    flags = carry_flags((a & b) | ((a | b) & ~value), width) | result_flags(value, width);
    return value;
}

std::uint64_t difference(std::uint64_t a, std::uint64_t b, bool borrow, unsigned width, std::uint64_t& flags)
{
    std::uint64_t const value = truncate(a - b - borrow, width);
    flags = carry_flags((~a & b) | ((~a | b) & value), width) | result_flags(value, width);
    return value;
}

std::uint64_t bit_operation(Alu alu, std::uint64_t left, std::uint64_t right, unsigned width, std::uint64_t& rflags)
{
    std::uint64_t const mask = 1ULL << (right % (std::uint64_t{8} * width));
    set_flags(rflags, flag::carry, when(left & mask, flag::carry));
    switch (alu) {
    case Alu::bit_set:
        return left | mask;
    case Alu::bit_reset:
        return left & ~mask;
    case Alu::bit_complement:
        return left ^ mask;
    default:
        return left;
    }
}

/// OR, AND, XOR: carry and overflow cleared; adjust is undefined, processors clear it.
std::uint64_t logic(std::uint64_t value, unsigned width, std::uint64_t& rflags)
{
    set_flags(rflags, flag::status, result_flags(value, width));
    return value;
}

} // namespace

std::uint64_t compute(Alu alu, std::uint64_t left, std::uint64_t right, unsigned width, std::uint64_t& rflags)
{
    std::uint64_t const a = truncate(left, width), b = truncate(right, width);
    bool const carry = (rflags & flag::carry) != 0;
    std::uint64_t flags = 0, value = 0, which = flag::status;
    switch (alu) {
    case Alu::add:
        value = sum(a, b, false, width, flags);
        break;
    case Alu::add_carry:
        value = sum(a, b, carry, width, flags);
        break;
    case Alu::sub:
        value = difference(a, b, false, width, flags);
        break;
    case Alu::sub_borrow:
        value = difference(a, b, carry, width, flags);
        break;
    case Alu::negate:
        value = difference(0, a, false, width, flags);
        break;
    case Alu::increment:
        value = sum(a, 1, false, width, flags);
        which &= ~flag::carry;
        break;
    case Alu::decrement:
        value = difference(a, 1, false, width, flags);
        which &= ~flag::carry;
        break;
    case Alu::bit_or:
        return logic(a | b, width, rflags);
    case Alu::bit_and:
        return logic(a & b, width, rflags);
    case Alu::bit_xor:
        return logic(a ^ b, width, rflags);
    case Alu::bit_not:
        return truncate(~a, width);
    case Alu::bit_test:
    case Alu::bit_set:
    case Alu::bit_reset:
    case Alu::bit_complement:
        return bit_operation(alu, a, right, width, rflags);
    case Alu::none:
        return b;
    }
    set_flags(rflags, which, flags);
    return value;
}

} // namespace undercroft::decode
