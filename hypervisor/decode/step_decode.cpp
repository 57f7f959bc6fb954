// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/step_decode.hpp"

#include <optional>

#include "hypervisor/decode/instruction.hpp"

namespace undercroft::decode {
namespace {

using namespace detail;

/// The condition that the opcode carries: 70h-7Fh, 0F 80h-8Fh, 0F 90h-9Fh, 0F 40h-4Fh.
std::uint8_t condition_of(Instruction const& instruction)
{
    return instruction.head.opcode & 0xF;
}

std::optional<std::uint8_t> address_register(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return DecodedStep::no_register;
    if (reg == ZYDIS_REGISTER_RIP)
        return DecodedStep::instruction_pointer;
    ZydisRegisterClass const kind = ZydisRegisterGetClass(reg);
    if (kind != ZYDIS_REGCLASS_GPR64 && kind != ZYDIS_REGCLASS_GPR32)
        return {};
    auto const id = ZydisRegisterGetId(reg);
    return id >= 0 && id < 16 ? std::optional{static_cast<std::uint8_t>(id)} : std::nullopt;
}

/// FS and GS have a base that is costly to learn.
bool set_address(Instruction const& instruction, ZydisDecodedOperandMem const& memory, DecodedStep& out)
{
    backend::Segment const segment = segment_of(memory.segment);
    if (segment == backend::Segment::fs || segment == backend::Segment::gs)
        return false;
    auto const base = address_register(memory.base), index = address_register(memory.index);
    if (!base || !index || *index == DecodedStep::instruction_pointer)
        return false;
    out.base = *base;
    out.index = *index;
    out.scale = *index == DecodedStep::no_register ? 1 : memory.scale;
    out.displacement = memory.disp.value;
    out.address_width = static_cast<std::uint8_t>(instruction.head.address_width / 8);
    return out.address_width == 8 || out.address_width == 4;
}

/// The operand that emulate() reaches through its handler.
bool set_place(Instruction const& instruction, unsigned which, DecodedStep& out)
{
    auto const& operand = instruction.operands[which];
    out.access.width = static_cast<std::uint8_t>(operand.size / 8);
    out.access.memory_first = which == 0;
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
        out.place_is_memory = true;
        return operand.mem.type == ZYDIS_MEMOP_TYPE_MEM && set_address(instruction, operand.mem, out);
    }
    DecodedAccess reg;
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER || !set_register(reg, operand.reg.value))
        return false;
    out.place_index = reg.register_index;
    out.place_high = reg.register_high;
    return true;
}

bool set_other(Instruction const& instruction, unsigned which, DecodedStep& out)
{
    auto const& operand = instruction.operands[which];
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER)
        return set_register(out.access, operand.reg.value);
    if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return false;
    out.access.has_immediate = true;
    out.access.immediate = operand.imm.value.u;
    return true;
}

bool has_one_operand(Alu alu)
{
    return alu == Alu::increment || alu == Alu::decrement || alu == Alu::bit_not || alu == Alu::negate;
}

/// Memory may be read, and written by MOV only; exchanges and strings are left to the processor.
bool is_simple(DecodedStep const& step)
{
    using enum Operation;
    switch (step.access.operation) {
    case load:
    case load_zero_extend:
    case load_sign_extend:
    case to_register:
    case compare:
    case store:
        return true;
    case to_memory:
        return !step.place_is_memory;
    case bit: // a bit number in a register would move the address
        return !step.place_is_memory || (step.access.alu == Alu::bit_test && step.access.has_immediate);
    default:
        return false;
    }
}

bool set_access(Instruction const& instruction, DecodedStep& out)
{
    Meaning const meaning = meaning_of(instruction.head.mnemonic);
    unsigned const count = has_one_operand(meaning.alu) ? 1 : 2;
    if (meaning.operation == Operation::unknown || instruction.head.operand_count_visible != count)
        return false;
    bool const extends =
        meaning.operation == Operation::load_zero_extend || meaning.operation == Operation::load_sign_extend;
    bool const second = count == 2 && (extends || instruction.operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY);
    out.kind = StepKind::access;
    out.access.alu = meaning.alu;
    if (!set_place(instruction, second ? 1 : 0, out) || (count == 2 && !set_other(instruction, second ? 0 : 1, out)))
        return false;
    out.access.operation = direction(meaning.operation, out.access.memory_first);
    return is_simple(out);
}

bool set_effective_address(Instruction const& instruction, DecodedStep& out)
{
    auto const& memory = instruction.operands[1];
    out.kind = StepKind::effective_address;
    out.access.width = 8;
    if (memory.type != ZYDIS_OPERAND_TYPE_MEMORY || memory.mem.type != ZYDIS_MEMOP_TYPE_AGEN)
        return false;
    return set_other(instruction, 0, out) && set_address(instruction, memory.mem, out);
}

bool set_shift(Instruction const& instruction, Shift shift, DecodedStep& out)
{
    out.kind = StepKind::shift;
    out.shift = shift;
    auto const& count = instruction.operands[1];
    if (count.type == ZYDIS_OPERAND_TYPE_REGISTER && count.reg.value != ZYDIS_REGISTER_CL)
        return false;
    return set_place(instruction, 0, out) && !out.place_is_memory && set_other(instruction, 1, out);
}

bool set_condition(Instruction const& instruction, DecodedStep& out)
{
    out.kind = StepKind::set_condition;
    out.condition = condition_of(instruction);
    return set_place(instruction, 0, out) && !out.place_is_memory;
}

bool set_move_condition(Instruction const& instruction, DecodedStep& out)
{
    out.kind = StepKind::move_condition;
    out.condition = condition_of(instruction);
    return set_place(instruction, 1, out) && set_other(instruction, 0, out) && !out.access.has_immediate;
}

/// What prefixes mean before a branch differs between vendors.
bool set_jump(Instruction const& instruction, StepKind kind, DecodedStep& out)
{
    auto const& target = instruction.operands[0];
    if (target.type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !target.imm.is_relative ||
        instruction.head.raw.prefix_count != 0)
        return false;
    out.kind = kind;
    out.condition = condition_of(instruction);
    out.displacement = target.imm.value.s;
    return true;
}

bool fill(Instruction const& instruction, DecodedStep& out)
{
    switch (instruction.head.mnemonic) {
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_ENDBR64:
        out.kind = StepKind::nothing;
        return true;
    case ZYDIS_MNEMONIC_LEA:
        return set_effective_address(instruction, out);
    case ZYDIS_MNEMONIC_SHL:
        return set_shift(instruction, Shift::left, out);
    case ZYDIS_MNEMONIC_SHR:
        return set_shift(instruction, Shift::right, out);
    case ZYDIS_MNEMONIC_SAR:
        return set_shift(instruction, Shift::right_signed, out);
    case ZYDIS_MNEMONIC_JMP:
        return set_jump(instruction, StepKind::jump, out);
    default:
        break;
    }
    switch (instruction.head.meta.category) {
    case ZYDIS_CATEGORY_COND_BR: // JCXZ and LOOP are among them
        return (instruction.head.opcode_map == ZYDIS_OPCODE_MAP_0F ? 0x80 : 0x70) == (instruction.head.opcode & 0xF0) &&
               set_jump(instruction, StepKind::jump_condition, out);
    case ZYDIS_CATEGORY_SETCC:
        return set_condition(instruction, out);
    case ZYDIS_CATEGORY_CMOV:
        return set_move_condition(instruction, out);
    default:
        return set_access(instruction, out);
    }
}

} // namespace

bool decode_step(std::span<std::uint8_t const> bytes, CodeMode mode, DecodedStep& out)
{
    out = {};
    Instruction instruction;
    if (mode != CodeMode::bits64 || bytes.empty() || !run_zydis(bytes, mode, instruction))
        return false;
    auto const& head = instruction.head;
    if (head.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || (head.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0)
        return false;
    DecodedStep step;
    if (!fill(instruction, step))
        return false;
    step.access.length = head.length;
    if (step.kind != StepKind::nothing && step.kind != StepKind::jump && step.kind != StepKind::jump_condition &&
        step.access.width != 1 && step.access.width != 2 && step.access.width != 4 && step.access.width != 8)
        return false;
    out = step;
    return true;
}

} // namespace undercroft::decode
