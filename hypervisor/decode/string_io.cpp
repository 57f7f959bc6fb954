// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/decode/string_io.hpp"

#include "base/width.hpp"
#include "hypervisor/decode/alu.hpp"
#include "hypervisor/decode/instruction.hpp"
#include "hypervisor/paging/guest_walk.hpp"

namespace undercroft::decode {
namespace {

constexpr unsigned rcx = 1, rsi = 6, rdi = 7;
constexpr std::uint64_t cr0_pe = 1;

/// 64 bits replace, 32 bits clear the upper half, 16 bits merge.
void add_to_register(std::uint64_t& reg, std::uint64_t by, unsigned width)
{
    std::uint64_t const mask = width >= 4 ? ~0ULL : width_mask(width);
    reg = (reg & ~mask) | (truncate(reg + by, width) & mask);
}

/// Intel SDM vol. 3A, 5.3 and 5.4; AMD APM vol. 2, 4.8 and 4.12. `offset` is already cut to the address width.
bool segment_allows(StringPortContext const& context, std::uint64_t offset, unsigned width, bool is_write)
{
    constexpr std::uint64_t efer_lma = 1ULL << 10;
    if ((context.paging.efer & efer_lma) != 0 && context.paging.cs_long)
        return true;
    backend::SegmentState const& segment = context.segment;
    unsigned const type = segment.attributes & 0xFU;
    bool const code = (type & 8) != 0, expands_down = !code && (type & 4) != 0;
    bool const present = (segment.attributes & 1U << 7) != 0;
    constexpr std::uint64_t vm86 = 1ULL << 17;
    if ((context.paging.cr0 & cr0_pe) != 0 && (context.paging.rflags & vm86) == 0) {
        bool const readable = !code || (type & 2) != 0, writable = !code && (type & 2) != 0;
        if (!present || !(is_write ? readable : writable))
            return false;
    }
    std::uint64_t const last = offset + width - 1;
    if (!expands_down)
        return last <= segment.limit;
    std::uint64_t const top = (segment.attributes & 1U << 10) != 0 ? 0xFFFF'FFFF : 0xFFFF;
    return offset > segment.limit && last <= top;
}

/// The memory side of the elements, one page looked up at a time.
class MemorySide {
public:
    MemorySide(StringPortContext& context, bool is_write)
        : context_{&context}, access_{is_write ? paging::WalkAccess::read : paging::WalkAccess::write}
    {
    }

    /// Finds all bytes of the element at `linear`; false: `fault` says what the guest gets.
    bool find(std::uint64_t linear, unsigned width, StringOutcome& fault)
    {
        std::uint64_t const in_first = page_bytes - linear % page_bytes;
        width_ = width;
        split_ = width <= in_first ? width : static_cast<unsigned>(in_first);
        if (!page_of(paging::wrap_linear(context_->paging, linear), first_, fault))
            return false;
        return split_ == width || page_of(paging::wrap_linear(context_->paging, linear + split_), second_, fault);
    }
    [[nodiscard]] std::uint32_t load()
    {
        if (split_ == width_)
            return load(first_, width_);
        std::uint32_t value = 0;
        for (unsigned i = 0; i < width_; ++i)
            value |= (i < split_ ? load(at(first_, i), 1) : load(at(second_, i - split_), 1)) << 8 * i;
        return value;
    }
    void store(std::uint32_t value)
    {
        if (split_ == width_)
            return store(first_, width_, value);
        for (unsigned i = 0; i < width_; ++i)
            store(i < split_ ? at(first_, i) : at(second_, i - split_), 1, value >> 8 * i & 0xFF);
    }

private:
    struct Place {
        Gpa gpa{};
        std::byte const* view = nullptr; ///< null: not RAM
    };
    static Place at(Place const& place, unsigned byte)
    {
        return {place.gpa + byte, place.view == nullptr ? nullptr : place.view + byte};
    }

    bool page_of(Gva linear, Place& place, StringOutcome& fault)
    {
        std::uint64_t const inside = linear.value % page_bytes;
        if (linear.value - inside != known_page_ && !look_up(linear, fault))
            return false;
        place = {known_gpa_ + inside, known_view_ == nullptr ? nullptr : known_view_ + inside};
        return true;
    }
    bool look_up(Gva linear, StringOutcome& fault)
    {
        auto const where = paging::translate(context_->memory, context_->paging, linear, access_);
        if (!where) {
            fault = fault_of(where.error(), linear);
            return false;
        }
        std::uint64_t const inside = linear.value % page_bytes;
        known_page_ = linear.value - inside;
        known_gpa_ = Gpa{where->gpa.value - inside};
        known_view_ = context_->memory.view(known_gpa_, page_bytes);
        return true;
    }
    [[nodiscard]] StringOutcome fault_of(paging::WalkError error, Gva linear) const
    {
        std::uint32_t const code = (error == paging::WalkError::forbidden ? 1U : 0U) |
                                   (access_ == paging::WalkAccess::write ? 2U : 0U) |
                                   (context_->paging.cpl == 3 ? 4U : 0U);
        if (error == paging::WalkError::not_present || error == paging::WalkError::forbidden)
            return {StringEnd::page_fault, linear.value, code};
        return {StringEnd::general_protection}; // not canonical, or tables where there is no memory
    }
    [[nodiscard]] std::uint32_t load(Place const& place, unsigned width)
    {
        if (place.view == nullptr)
            return static_cast<std::uint32_t>(truncate(context_->elsewhere.read(place.gpa.value, width), width));
        std::uint32_t value = 0;
        __builtin_memcpy(&value, place.view, width);
        return value;
    }
    void store(Place const& place, unsigned width, std::uint32_t value)
    {
        auto const bytes = std::as_bytes(std::span{&value, 1}).first(width);
        if (place.view == nullptr || !context_->memory.write(place.gpa, bytes))
            context_->elsewhere.write(place.gpa.value, width, truncate(value, width));
    }

    StringPortContext* context_;
    paging::WalkAccess access_;
    Place first_{}, second_{};
    unsigned width_ = 0, split_ = 0;
    std::uint64_t known_page_ = ~0ULL;
    Gpa known_gpa_{};
    std::byte const* known_view_ = nullptr;
};

bool is_flat(StringPortContext const& context, backend::Segment segment)
{
    constexpr std::uint64_t efer_lma = 1ULL << 10;
    bool const wide = (context.paging.efer & efer_lma) != 0 && context.paging.cs_long;
    return wide && segment != backend::Segment::fs && segment != backend::Segment::gs;
}

} // namespace

bool decode_string_port(std::span<std::uint8_t const> bytes, CodeMode mode, StringPortInstruction& out)
{
    out = {};
    detail::Instruction instruction;
    if (!detail::run_zydis(bytes, mode, instruction))
        return false;
    switch (instruction.head.mnemonic) {
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
        break;
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
        out.is_write = true;
        break;
    default:
        return false;
    }
    out.address_width = static_cast<std::uint8_t>(instruction.head.address_width / 8);
    for (unsigned i = 0; i < instruction.head.operand_count; ++i) {
        auto const& operand = instruction.operands[i];
        if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        out.width = static_cast<std::uint8_t>(operand.size / 8);
        out.segment = detail::segment_of(operand.mem.segment);
    }
    if (out.width == 0)
        return false;
    out.length = instruction.head.length;
    return true;
}

StringOutcome perform_string_port(StringPortInstruction const& instruction, StringPortContext& context)
{
    unsigned const width = instruction.width, address_width = instruction.address_width;
    std::uint64_t& pointer = context.registers.gpr[instruction.is_write ? rsi : rdi];
    std::uint64_t& count = context.registers.gpr[rcx];
    std::uint64_t const step = (context.paging.rflags & flag::direction) != 0 ? 0 - std::uint64_t{width} : width;
    std::uint64_t const base = is_flat(context, instruction.segment) ? 0 : context.segment.base;
    MemorySide side{context, instruction.is_write};
    for (unsigned done = 0; done < max_string_elements; ++done) {
        if (context.repeat && truncate(count, address_width) == 0)
            return {};
        std::uint64_t const offset = truncate(pointer, address_width);
        bool const on_stack = instruction.segment == backend::Segment::ss;
        StringOutcome fault{};
        if (!segment_allows(context, offset, width, instruction.is_write))
            return {on_stack ? StringEnd::stack_fault : StringEnd::general_protection};
        if (!side.find(base + offset, width, fault)) {
            if (fault.end == StringEnd::general_protection && on_stack)
                fault.end = StringEnd::stack_fault;
            return fault;
        }
        if (instruction.is_write)
            context.ports.store(context.port, width, side.load());
        else
            side.store(context.ports.load(context.port, width));
        add_to_register(pointer, step, address_width);
        if (!context.repeat)
            return {};
        add_to_register(count, ~0ULL, address_width);
    }
    return {truncate(count, address_width) == 0 ? StringEnd::done : StringEnd::more};
}

std::size_t fetch_anywhere(core::GuestMemory const& memory, core::MmioHandler& elsewhere,
                           backend::PagingState const& paging, std::uint64_t cs_base, std::uint64_t rip,
                           std::span<std::byte, 16> into)
{
    std::size_t const got = paging::fetch_instruction(memory, paging, cs_base, rip, into);
    if (got != 0)
        return got;
    for (std::size_t i = 0; i < paging::max_instruction_bytes; ++i) {
        Gva const linear = paging::wrap_linear(paging, cs_base + rip + i);
        auto const where = paging::translate(memory, paging, linear, paging::WalkAccess::read);
        if (!where)
            return i;
        into[i] = static_cast<std::byte>(elsewhere.read(where->gpa.value, 1));
    }
    return paging::max_instruction_bytes;
}

} // namespace undercroft::decode
