// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory stream over its slot buffer.
#include "hypervisor/core/clock.hpp"
#include "hypervisor/memory/memory_stream.hpp"
#include "hypervisor/observe/entropy_memo.hpp"
#include "hypervisor/observe/slot_buffer.hpp"

namespace undercroft::memory {

/// The object is some 256 KiB. entropy() is for one caller at a time, the monitor's engines.
class SlotStream final : public MemoryStream {
public:
    /// `key`: as EntropyMemo's. `buffer` drops what finds no room; `buffer_bytes` is its memory.
    SlotStream(observe::SlotBuffer& buffer, std::uint64_t buffer_bytes, core::Clock const& clock, std::uint64_t key)
        : buffer_{&buffer}, clock_{&clock}, bytes_{buffer_bytes - buffer_bytes / 64}, memo_{key}
    {
    }

    bool put(wire::Record record, std::byte const* content, Tsc at) override
    {
        std::uint16_t flags = record.flags.get();
        if (content != nullptr)
            flags |= wire::record_flag::has_content;
        if (!clock_->synchronised())
            flags |= wire::record_flag::time_unsynchronised;
        record.flags = flags;
        record.content_bytes = content != nullptr ? record.length.get() : 0;
        record.time_utc_ns = clock_->utc(at).value;
        bool const own_word = record.kind.get() >= static_cast<std::uint8_t>(wire::Kind::memory_mode);
        bool done = false;
        buffer_->begin_request();
        if (own_word || room() >= sizeof(record) + record.content_bytes.get())
            done = buffer_->append(record, content);
        else
            buffer_->leave_out();
        buffer_->end_request();
        return done;
    }
    [[nodiscard]] std::uint64_t room() const override
    {
        std::uint64_t const used = buffer_->used_bytes() + kept_for_own_words();
        return used < bytes_ ? bytes_ - used : 0;
    }
    [[nodiscard]] std::uint64_t capacity() const override { return bytes_ - kept_for_own_words(); }
    [[nodiscard]] std::uint16_t entropy(std::byte const* page) override { return memo_.entropy(page, page_bytes); }

private:
    [[nodiscard]] std::uint64_t kept_for_own_words() const { return bytes_ / 16; }

    observe::SlotBuffer* buffer_;
    core::Clock const* clock_;
    std::uint64_t bytes_; ///< of the arena
    observe::EntropyMemo memo_;
};

} // namespace undercroft::memory
