// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/fault_capture.hpp"

namespace undercroft::memory {
namespace {

constexpr paging::Permissions no_execute = paging::rights_read_write;
constexpr paging::Permissions neither = paging::rights_read;

Gpa page_of(Gpa gpa)
{
    return Gpa{gpa.value & ~(page_bytes - 1)};
}

} // namespace

void FaultCapture::consider(Gpa page)
{
    ++seen_;
    if (candidates_ < candidate_.size()) {
        candidate_[candidates_++] = page;
        return;
    }
    random_ ^= random_ << 13; // Marsaglia's xorshift: which one is kept is no secret, only not always the first
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    if (std::uint64_t const place = random_ % seen_; place < candidate_.size())
        candidate_[place] = page;
}

bool FaultCapture::arm_candidates(Tsc now)
{
    bool armed = false;
    for (std::size_t i = 0; i < candidates_; ++i) {
        Gpa const page = candidate_[i];
        PageState const state = parts_.view->state(page);
        if (!state.watchable || state.size != PageSize::small || state.rights != paging::rights_all ||
            !parts_.memory->read(page, content_))
            continue;
        std::uint16_t const entropy = parts_.stream->entropy(content_.data());
        say(wire::Kind::memory_write, page, 0, wire::record_flag::by_scan | wire::record_flag::has_entropy, entropy,
            now);
        arm(page, entropy >= high_entropy, now);
        armed = true;
    }
    candidates_ = 0;
    seen_ = 0;
    return armed;
}

void FaultCapture::arm(Gpa page, bool also_writes, Tsc now)
{
    if (armed_count_ == armed_.size())
        disarm(0, now); // the oldest
    std::array const pages{page};
    parts_.view->arm_pages(pages, also_writes ? neither : no_execute);
    armed_[armed_count_++] = {page, now};
    put_range(*parts_.stream, wire::Kind::memory_armed, static_cast<std::uint16_t>(wire::MemoryMode::watch),
              {page, page_bytes}, now);
}

void FaultCapture::disarm(std::size_t index, Tsc now)
{
    Gpa const page = armed_[index].page;
    for (std::size_t i = index + 1; i < armed_count_; ++i)
        armed_[i - 1] = armed_[i];
    --armed_count_;
    (void)parts_.view->grant(page, paging::rights_all);
    put_range(*parts_.stream, wire::Kind::memory_disarmed, static_cast<std::uint16_t>(wire::MemoryMode::watch),
              {page, page_bytes}, now);
}

bool FaultCapture::on_fault(Fault const& fault)
{
    for (std::size_t i = 0; i < armed_count_; ++i) {
        if (armed_[i].page != page_of(fault.gpa))
            continue;
        std::uint16_t const flags = fault.by_page_walk ? wire::record_flag::page_walk : std::uint16_t{0};
        say(fault.fetch ? wire::Kind::memory_execute : wire::Kind::memory_write, fault.gpa, fault.cpu, flags, 0,
            fault.now);
        disarm(i, fault.now);
        return true;
    }
    return false;
}

void FaultCapture::expire(Tsc now)
{
    std::uint64_t const limit = parts_.clock->tsc_hz() / 1000 * armed_for_ms;
    while (armed_count_ != 0 && now.value - armed_[0].since.value > limit)
        disarm(0, now);
}

void FaultCapture::release(PageRange range, Tsc now)
{
    for (std::size_t i = armed_count_; i-- != 0;)
        if (armed_[i].page.value >= range.begin.value && armed_[i].page.value < range.end())
            disarm(i, now);
}

void FaultCapture::say(wire::Kind kind, Gpa gpa, std::uint16_t source, std::uint16_t flags, std::uint16_t entropy,
                       Tsc now)
{
    wire::Record record{};
    record.address = gpa.value;
    record.length = static_cast<std::uint32_t>(page_bytes);
    record.kind = static_cast<std::uint8_t>(kind);
    record.page_class = static_cast<std::uint8_t>(wire::PageClass::page_4k);
    record.source = source;
    record.flags = flags;
    record.entropy = entropy;
    ++records_;
    (void)parts_.stream->put(record, nullptr, now);
}

} // namespace undercroft::memory
