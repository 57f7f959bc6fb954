// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A machine in which the parts of the memory monitor can be tried: RAM with nested entries, CPUs with TLBs that keep
// rights and dirty marks until they are flushed, a stream with little room.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "hypervisor/memory/cpu_hold.hpp"
#include "hypervisor/memory/device_writes.hpp"
#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/page_bitmap.hpp"
#include "hypervisor/memory/page_index.hpp"
#include "hypervisor/observe/slot_buffer.hpp"

namespace undercroft::memory::model {

using Page = std::array<std::byte, page_bytes>;
using Image = std::map<std::uint64_t, Page>; ///< by guest-physical address

class ModelClock final : public core::Clock {
public:
    Tsc tsc() const override { return Tsc{now += tick_per_reading}; }
    std::uint64_t tsc_hz() const override { return 1'000'000'000; }
    UtcNs utc(Tsc at) const override { return UtcNs{at.value}; }
    bool synchronised() const override { return true; }
    mutable std::uint64_t now = 1;
    std::uint64_t tick_per_reading = 100;
};

class ModelStream final : public MemoryStream {
public:
    struct Item {
        wire::Record record;
        std::vector<std::byte> content;
        Tsc at;
    };
    bool put(wire::Record record, std::byte const* content, Tsc at) override
    {
        std::uint64_t const bytes = sizeof(record) + (content != nullptr ? record.length.get() : 0);
        EXPECT_LE(bytes, free + words_share) << "an engine did not ask for room";
        free -= std::min(free, bytes);
        items.push_back({record, {}, at});
        if (content != nullptr)
            items.back().content.assign(content, content + record.length.get());
        return true;
    }
    std::uint64_t room() const override { return free; }
    std::uint64_t capacity() const override { return 1U << 20; }
    std::uint16_t entropy(std::byte const* page) override { return static_cast<std::uint16_t>(page[0]) + 1; }
    std::uint64_t sending_ticks() const override { return sending; }

    std::vector<Item> items;
    std::uint64_t sending = 0; ///< what it has cost so far
    std::uint64_t free = 1ULL << 60;
    static constexpr std::uint64_t words_share = 1024; ///< kept for the sensor's own words
};

/// RAM in pieces with holes, each page full of one number (its "value") and an address.
class ModelMachine final : public PageView, public core::GuestMemory, public CpuHold, public StandingTargets {
public:
    static constexpr unsigned cpus = 2;
    explicit ModelMachine(std::vector<PageRange> ranges) : ranges_{std::move(ranges)}
    {
        for (PageRange const& range : ranges_) {
            EXPECT_TRUE(index.add(range.begin.value, range.bytes));
            for (std::uint64_t at = range.begin.value; at < range.end(); at += page_bytes)
                pages_[at] = {};
        }
    }

    void use(Engine& engine) { engine_ = &engine; }

    // The guest.
    void guest_write(unsigned cpu, std::uint64_t at, std::uint32_t value)
    {
        ASSERT_FALSE(held) << "a held CPU runs guest code";
        touch(cpu, at, true);
        set(at, value);
    }
    void guest_read(unsigned cpu, std::uint64_t at) { touch(cpu, at, false); }
    /// Behind everybody's back, as a device does.
    void set(std::uint64_t at, std::uint32_t value)
    {
        Page& page = pages_.at(at).bytes;
        std::memcpy(page.data() + 8, &value, sizeof(value));
        std::memcpy(page.data() + page_bytes - 4, &value, sizeof(value));
    }
    Image image() const
    {
        Image all;
        for (auto const& [at, page] : pages_)
            all[at] = page.bytes;
        return all;
    }

    // PageView
    std::span<PageRange const> usable() const override { return ranges_; }
    void arm(PageRange range, paging::Permissions keep, PageSize) override
    {
        for_pages(range, [&](std::uint64_t, Entry& page) {
            page.rights = {page.rights.read && keep.read, page.rights.write && keep.write,
                           page.rights.execute && keep.execute};
        });
    }
    void arm_pages(std::span<Gpa const> pages, paging::Permissions keep) override
    {
        for (Gpa const page : pages)
            if (pages_.contains(page.value)) {
                arm({page, page_bytes}, keep, PageSize::small);
                pages_.at(page.value).bits = {};
            }
    }
    bool grant(Gpa gpa, paging::Permissions add) override
    {
        auto const found = pages_.find(gpa.value & ~(page_bytes - 1));
        if (found == pages_.end())
            return false;
        auto& rights = found->second.rights;
        rights = {rights.read || add.read, rights.write || add.write, rights.execute || add.execute};
        return true;
    }
    void restore(PageRange range) override
    {
        for_pages(range, [](std::uint64_t, Entry& page) { page.rights = paging::rights_all; });
    }
    PageState state(Gpa gpa) const override
    {
        auto const found = pages_.find(gpa.value & ~(page_bytes - 1));
        if (found == pages_.end())
            return {};
        return {true, Gpa{found->first}, PageSize::small, found->second.rights};
    }
    void flush_all() override
    {
        for (auto& tlb : tlbs_)
            tlb.clear();
        ++flushes;
    }
    bool has_access_bits() const override { return bits_offered; }
    bool has_execute_only() const override { return true; }
    void take_access_bits(PageRange range, AccessVisitor& visitor) override
    {
        EXPECT_TRUE(bits_offered);
        looked_at += range.bytes / page_bytes;
        for_pages(range, [&](std::uint64_t at, Entry& page) {
            if (page.bits != AccessBits{})
                visitor.visit(Gpa{at}, 1, PageSize::small, page.bits);
            page.bits = {};
        });
    }
    AccessBits access_bits(Gpa page) const override { return pages_.at(page.value).bits; }

    // core::GuestMemory
    bool read(Gpa from, std::span<std::byte> into) const override
    {
        auto const found = pages_.find(from.value);
        if (found == pages_.end() || into.size() != page_bytes)
            return false;
        std::memcpy(into.data(), found->second.bytes.data(), page_bytes);
        return true;
    }
    bool write(Gpa, std::span<std::byte const>) override { return false; }
    std::byte const* view(Gpa, std::size_t) const override { return nullptr; }
    bool touches_sensor(Gpa, std::uint64_t) const override { return false; }

    // CpuHold
    bool hold() override
    {
        EXPECT_FALSE(held);
        held = true;
        at_hold = image();
        ++holds;
        return cpus_answer;
    }
    void release() override
    {
        EXPECT_TRUE(held);
        held = false;
    }

    // StandingTargets
    void standing_targets(RangeVisitor& targets) override
    {
        for (PageRange const& range : standing)
            targets.visit(range);
    }

    PageIndex index;
    std::vector<PageRange> standing;
    Image at_hold; ///< when the CPUs were held last
    bool held = false, bits_offered = true, cpus_answer = true;
    unsigned holds = 0, flushes = 0, faults = 0;
    std::uint64_t looked_at = 0;
    std::uint64_t now = 0;

private:
    struct Entry {
        Page bytes{};
        paging::Permissions rights = paging::rights_all;
        AccessBits bits{};
    };
    struct Cached {
        paging::Permissions rights;
        bool marked_dirty;
    };

    template <typename Visit>
    void for_pages(PageRange range, Visit&& visit)
    {
        for (auto page = pages_.lower_bound(range.begin.value); page != pages_.end() && page->first < range.end();
             ++page)
            visit(page->first, page->second);
    }

    /// As a processor does it: a cached translation that allows the access is used as it is, marks and all.
    void touch(unsigned cpu, std::uint64_t at, bool write)
    {
        auto& tlb = tlbs_[cpu];
        if (auto const cached = tlb.find(at); cached != tlb.end()) {
            if (write ? cached->second.rights.write && cached->second.marked_dirty : cached->second.rights.read)
                return;
            tlb.erase(cached);
        }
        Entry& page = pages_.at(at);
        for (unsigned tries = 0; write ? !page.rights.write : !page.rights.read; ++tries) {
            ASSERT_LT(tries, 2U) << "the engine does not let the guest go on";
            ++faults;
            engine_->on_fault({Gpa{at + 16}, !write, write, false, false, static_cast<std::uint16_t>(cpu), Tsc{now}});
        }
        page.bits.accessed = page.bits.accessed || bits_offered;
        page.bits.dirty = page.bits.dirty || (write && bits_offered);
        tlb[at] = {page.rights, write};
    }

    std::vector<PageRange> ranges_;
    std::map<std::uint64_t, Entry> pages_;
    std::array<std::map<std::uint64_t, Cached>, cpus> tlbs_;
    Engine* engine_ = nullptr;
};

/// Words of a bitmap for tests.
class Bits {
public:
    explicit Bits(std::uint64_t pages) : words_(PageBitmap::words_for(pages)), pages_{pages} {}
    PageBitmap map() { return {words_.data(), pages_}; }

private:
    std::vector<PageBitmap::Word> words_;
    std::uint64_t pages_;
};

} // namespace undercroft::memory::model
