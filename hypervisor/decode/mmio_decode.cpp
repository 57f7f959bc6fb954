// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/mmio_decode.hpp"

#include "hypervisor/decode/instruction.hpp"

namespace undercroft::decode {
namespace detail {

bool run_zydis(std::span<std::uint8_t const> bytes, CodeMode mode, Instruction& instruction)
{
    ZydisDecoder decoder;
    ZyanStatus const made =
        mode == CodeMode::bits64   ? ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)
        : mode == CodeMode::bits32 ? ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32)
                                   : ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    return ZYAN_SUCCESS(made) && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(),
                                                                     &instruction.head, instruction.operands));
}

Meaning meaning_of(ZydisMnemonic mnemonic)
{
    using enum Operation;
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVNTI:
        return {store, Alu::none};
    case ZYDIS_MNEMONIC_MOVZX:
        return {load_zero_extend, Alu::none};
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
        return {load_sign_extend, Alu::none};
    case ZYDIS_MNEMONIC_ADD:
        return {to_memory, Alu::add};
    case ZYDIS_MNEMONIC_OR:
        return {to_memory, Alu::bit_or};
    case ZYDIS_MNEMONIC_ADC:
        return {to_memory, Alu::add_carry};
    case ZYDIS_MNEMONIC_SBB:
        return {to_memory, Alu::sub_borrow};
    case ZYDIS_MNEMONIC_AND:
        return {to_memory, Alu::bit_and};
    case ZYDIS_MNEMONIC_SUB:
        return {to_memory, Alu::sub};
    case ZYDIS_MNEMONIC_XOR:
        return {to_memory, Alu::bit_xor};
    case ZYDIS_MNEMONIC_INC:
        return {to_memory, Alu::increment};
    case ZYDIS_MNEMONIC_DEC:
        return {to_memory, Alu::decrement};
    case ZYDIS_MNEMONIC_NOT:
        return {to_memory, Alu::bit_not};
    case ZYDIS_MNEMONIC_NEG:
        return {to_memory, Alu::negate};
    case ZYDIS_MNEMONIC_CMP:
        return {compare, Alu::sub};
    case ZYDIS_MNEMONIC_TEST:
        return {compare, Alu::bit_and};
    case ZYDIS_MNEMONIC_XCHG:
        return {exchange, Alu::none};
    case ZYDIS_MNEMONIC_XADD:
        return {exchange_add, Alu::add};
    case ZYDIS_MNEMONIC_CMPXCHG:
        return {compare_exchange, Alu::sub};
    case ZYDIS_MNEMONIC_BT:
        return {bit, Alu::bit_test};
    case ZYDIS_MNEMONIC_BTS:
        return {bit, Alu::bit_set};
    case ZYDIS_MNEMONIC_BTR:
        return {bit, Alu::bit_reset};
    case ZYDIS_MNEMONIC_BTC:
        return {bit, Alu::bit_complement};
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
        return {move_string, Alu::none};
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
        return {store_string, Alu::none};
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
        return {load_string, Alu::none};
    default:
        return {unknown, Alu::none};
    }
}

bool set_register(DecodedAccess& out, ZydisRegister reg)
{
    auto const place = [&](ZydisRegister first, unsigned index, bool high) {
        out.register_index = static_cast<std::uint8_t>(index + (reg - first));
        out.register_high = high;
        out.register_width = 1;
        return true;
    };
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        if (reg <= ZYDIS_REGISTER_BL)
            return place(ZYDIS_REGISTER_AL, 0, false);
        if (reg <= ZYDIS_REGISTER_BH)
            return place(ZYDIS_REGISTER_AH, 0, true);
        return reg <= ZYDIS_REGISTER_DIL ? place(ZYDIS_REGISTER_SPL, 4, false) : place(ZYDIS_REGISTER_R8B, 8, false);
    case ZYDIS_REGCLASS_GPR16:
        out.register_width = 2;
        break;
    case ZYDIS_REGCLASS_GPR32:
        out.register_width = 4;
        break;
    case ZYDIS_REGCLASS_GPR64:
        out.register_width = 8;
        break;
    default:
        return false; // segment, control, vector registers
    }
    out.register_index = static_cast<std::uint8_t>(ZydisRegisterGetId(reg));
    return out.register_index < 16;
}

backend::Segment segment_of(ZydisRegister reg)
{
    switch (reg) {
    case ZYDIS_REGISTER_ES:
        return backend::Segment::es;
    case ZYDIS_REGISTER_CS:
        return backend::Segment::cs;
    case ZYDIS_REGISTER_SS:
        return backend::Segment::ss;
    case ZYDIS_REGISTER_FS:
        return backend::Segment::fs;
    case ZYDIS_REGISTER_GS:
        return backend::Segment::gs;
    default:
        return backend::Segment::ds;
    }
}

/// The register side decides what "MOV" or "ADD" means.
Operation direction(Operation operation, bool memory_first)
{
    if (memory_first)
        return operation;
    if (operation == Operation::store)
        return Operation::load;
    return operation == Operation::to_memory ? Operation::to_register : operation;
}

} // namespace detail

namespace {

using namespace detail;

bool is_string(Operation operation)
{
    return operation == Operation::move_string || operation == Operation::store_string ||
           operation == Operation::load_string;
}

/// MOVSD and friends exist as vector instructions too: those have no GPR-sized string form.
bool set_string(Instruction const& instruction, DecodedAccess& out)
{
    auto const& head = instruction.head;
    if (head.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || head.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return false;
    for (unsigned i = 0; i < head.raw.prefix_count; ++i)
        if (head.raw.prefixes[i].value == 0xF2)
            return false; // REPNE is undefined here
    out.repeat = (head.attributes & ZYDIS_ATTRIB_HAS_REP) != 0;
    for (unsigned i = 0; i < head.operand_count; ++i) {
        auto const& operand = instruction.operands[i];
        if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        out.width = static_cast<std::uint8_t>(operand.size / 8);
        if (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ)
            out.source_segment = segment_of(operand.mem.segment);
    }
    return true;
}

/// Exactly one plain memory operand, at most one other operand.
bool set_operands(Instruction const& instruction, DecodedAccess& out)
{
    unsigned const count = instruction.head.operand_count_visible;
    if (count == 0 || count > 2)
        return false;
    unsigned memory_operands = 0;
    for (unsigned i = 0; i < count; ++i) {
        auto const& operand = instruction.operands[i];
        switch (operand.type) {
        case ZYDIS_OPERAND_TYPE_MEMORY:
            ++memory_operands;
            out.memory_first = i == 0;
            out.width = static_cast<std::uint8_t>(operand.size / 8);
            if (operand.mem.type != ZYDIS_MEMOP_TYPE_MEM)
                return false;
            break;
        case ZYDIS_OPERAND_TYPE_REGISTER:
            if (!set_register(out, operand.reg.value))
                return false;
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            out.has_immediate = true;
            out.immediate = operand.imm.value.u;
            break;
        default:
            return false;
        }
    }
    bool const one_operand =
        out.alu == Alu::increment || out.alu == Alu::decrement || out.alu == Alu::bit_not || out.alu == Alu::negate;
    return memory_operands == 1 && count == (one_operand ? 1U : 2U);
}

bool fill(Instruction const& instruction, DecodedAccess& out)
{
    Meaning const meaning = meaning_of(instruction.head.mnemonic);
    out.alu = meaning.alu;
    out.address_width = static_cast<std::uint8_t>(instruction.head.address_width / 8);
    if (meaning.operation == Operation::unknown)
        return false;
    bool const string = is_string(meaning.operation);
    if (!(string ? set_string(instruction, out) : set_operands(instruction, out)))
        return false;
    bool const power_of_two = out.width == 1 || out.width == 2 || out.width == 4 || out.width == 8;
    out.operation = string ? meaning.operation : direction(meaning.operation, out.memory_first);
    return power_of_two;
}

} // namespace

CodeMode code_mode(backend::PagingState const& paging)
{
    constexpr std::uint64_t lma = 1ULL << 10;
    if ((paging.efer & lma) && paging.cs_long)
        return CodeMode::bits64;
    return paging.cs_default_32 ? CodeMode::bits32 : CodeMode::bits16;
}

bool DecodedAccess::reads_only() const
{
    using enum Operation;
    return operation == load || operation == load_zero_extend || operation == load_sign_extend ||
           operation == to_register || operation == compare || operation == load_string ||
           (operation == bit && alu == Alu::bit_test);
}

bool DecodedAccess::writes_only() const
{
    return operation == Operation::store || operation == Operation::store_string;
}

bool decode(std::span<std::uint8_t const> bytes, CodeMode mode, DecodedAccess& out)
{
    out = {};
    Instruction instruction;
    if (bytes.empty() || !run_zydis(bytes, mode, instruction))
        return false;
    DecodedAccess access;
    access.length = instruction.head.length;
    if (fill(instruction, access)) {
        out = access;
        return true;
    }
    out.length = access.length;
    return false;
}

bool needs_svm(std::span<std::uint8_t const> bytes, CodeMode mode, bool has_skinit)
{
    Instruction instruction;
    if (bytes.empty() || !run_zydis(bytes, mode, instruction))
        return false;
    switch (instruction.head.mnemonic) {
    case ZYDIS_MNEMONIC_VMRUN:
    case ZYDIS_MNEMONIC_VMLOAD:
    case ZYDIS_MNEMONIC_VMSAVE:
    case ZYDIS_MNEMONIC_CLGI:
    case ZYDIS_MNEMONIC_INVLPGA:
        return true;
    case ZYDIS_MNEMONIC_STGI:
    case ZYDIS_MNEMONIC_SKINIT:
        return !has_skinit;
    default:
        return false;
    }
}

} // namespace undercroft::decode
