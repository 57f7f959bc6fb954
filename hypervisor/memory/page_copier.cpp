// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/page_copier.hpp"

namespace undercroft::memory {
namespace {

bool all_zero(std::byte const* page)
{
    for (std::size_t at = 0; at < page_bytes; at += 64) {
        std::uint64_t words[8];
        __builtin_memcpy(words, page + at, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0)
            return false;
    }
    return true;
}

} // namespace

wire::Record PageCopier::describe(Gpa page, std::uint16_t cpu, std::byte const* content)
{
    wire::Record record{};
    record.address = page.value;
    record.length = static_cast<std::uint32_t>(page_bytes);
    record.kind = static_cast<std::uint8_t>(wire::Kind::memory_page);
    record.page_class = static_cast<std::uint8_t>(wire::PageClass::page_4k);
    record.source = cpu;
    bool const zero = all_zero(content);
    std::uint16_t const of_content = zero ? wire::record_flag::zero_content : std::uint16_t{0};
    record.flags = static_cast<std::uint16_t>(wire::record_flag::has_entropy | of_content);
    record.entropy = zero ? std::uint16_t{0} : parts_.stream->entropy(content);
    return record;
}

bool PageCopier::put(wire::Record const& record, std::byte const* content, Tsc at)
{
    bool const zero = (record.flags.get() & wire::record_flag::zero_content) != 0;
    last_bytes_ = sizeof(record) + (zero ? 0 : page_bytes);
    return parts_.stream->put(record, zero ? nullptr : content, at);
}

PageCopier::Result PageCopier::copy(Gpa page, std::uint16_t cpu, bool may_use_reserve)
{
    bool const room = used_ == 0 && has_room(); // what is reserved goes first
    if (!room && (!may_use_reserve || used_ == reserve_.size()))
        return Result::no_room;
    std::byte* const content = room ? scratch_.data() : reserve_[(first_ + used_) % reserve_.size()].content.data();
    // Copied once: the guest or a device may change the page meanwhile.
    if (!parts_.memory->read(page, {content, page_bytes}))
        return Result::unreadable;
    Tsc const now = parts_.clock->tsc();
    wire::Record const record = describe(page, cpu, content);
    if (room)
        return put(record, content, now) ? Result::recorded : Result::no_room;
    ReservedPage& place = reserve_[(first_ + used_) % reserve_.size()];
    place.record = record;
    place.copied = now;
    ++used_;
    return Result::reserved;
}

bool PageCopier::drain()
{
    for (; used_ != 0; --used_) {
        if (!has_room())
            return false;
        ReservedPage const& oldest = reserve_[first_];
        if (!put(oldest.record, oldest.content.data(), oldest.copied))
            return false;
        first_ = (first_ + 1) % reserve_.size();
    }
    return true;
}

} // namespace undercroft::memory
