// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A guest for the watch: many pages, a TLB that keeps what it has, and a price for everything.
#include <gtest/gtest.h>

#include <vector>

#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/tests/machine_model.hpp"

namespace undercroft::memory::model {

/// Nanoseconds (the clock has one tick for each).
struct Prices {
    std::uint64_t piece = 10, small_page = 2, record = 40, flush = 3000, refill = 100, fault = 1500;
};

class WatchModel final : public PageView, public core::GuestMemory, public MemoryStream {
public:
    static constexpr std::uint64_t pages_per_piece = huge_page_bytes / page_bytes;

    WatchModel(ModelClock& clock, std::vector<PageRange> ranges)
        : clock_{&clock}, ranges_{std::move(ranges)}, pages_(ranges_.back().end() / page_bytes),
          small_(ranges_.back().end() / huge_page_bytes + 1)
    {
    }
    void use(Engine& engine) { engine_ = &engine; }

    // The guest.
    void touch(std::uint64_t number, bool write, bool fetch = false)
    {
        Page& at = pages_[entry_of(number)];
        pages_[number].touched_in_scan = scan;
        pages_[number].touched = true;
        if (at.cached && (!write || at.cached_dirty) && !fetch)
            return;
        ++refills;
        auto const allowed = [&] {
            return at.rights.read && (!write || at.rights.write) && (!fetch || at.rights.execute);
        };
        for (int tries = 0; !allowed(); ++tries) {
            ASSERT_LT(tries, 2) << "the engine does not let the guest go on";
            ++faults;
            engine_->on_fault({Gpa{number * page_bytes + 0x123}, !write, write, fetch, false, 1, clock_->tsc()});
        }
        at.bits = {true, at.bits.dirty || write};
        if (!at.cached)
            cached_.push_back(entry_of(number));
        at.cached = true;
        at.cached_dirty = at.cached_dirty || write;
    }

    // PageView
    std::span<PageRange const> usable() const override { return ranges_; }
    void arm(PageRange range, paging::Permissions rights, PageSize size) override
    {
        EXPECT_EQ(rights, paging::rights_all) << "the watch arms single pages only";
        for (std::uint64_t piece = range.begin.value / huge_page_bytes; piece * huge_page_bytes < range.end();
             ++piece) {
            bool const whole =
                piece * huge_page_bytes >= range.begin.value && (piece + 1) * huge_page_bytes <= range.end();
            bool const small = size == PageSize::small || !whole;
            if (small_[piece] != small)
                for (std::uint64_t n = piece * pages_per_piece;
                     n < std::min((piece + 1) * pages_per_piece, pages_.size()); ++n)
                    pages_[n].bits = {}, pages_[n].cached = pages_[n].cached_dirty = false;
            small_[piece] = small;
        }
    }
    void arm_pages(std::span<Gpa const> pages, paging::Permissions rights) override
    {
        for (Gpa const page : pages) {
            EXPECT_EQ(state(page).size, PageSize::small);
            pages_[page.value / page_bytes].rights = rights;
        }
    }
    bool grant(Gpa page, paging::Permissions add) override
    {
        EXPECT_EQ(add, paging::rights_all);
        pages_[entry_of(page.value / page_bytes)].rights = add;
        return true;
    }
    void restore(PageRange range) override
    {
        for (std::uint64_t at = range.begin.value; at < range.end(); at += page_bytes)
            pages_[at / page_bytes].rights = paging::rights_all;
    }
    PageState state(Gpa page) const override
    {
        bool const small = small_[page.value / huge_page_bytes];
        return {true, page, small ? PageSize::small : PageSize::huge, pages_[entry_of(page.value / page_bytes)].rights};
    }
    void flush_all() override
    {
        for (std::uint64_t const entry : cached_)
            pages_[entry].cached = pages_[entry].cached_dirty = false;
        cached_.clear();
        clock_->now += prices.flush;
        ++flushes;
        ++scan;
    }
    bool has_access_bits() const override { return true; }
    bool has_execute_only() const override { return false; }
    void take_access_bits(PageRange range, AccessVisitor& visitor) override
    {
        std::uint64_t at = range.begin.value;
        while (at < range.end()) {
            std::uint64_t const piece = at / huge_page_bytes;
            std::uint64_t const end = std::min(range.end(), (piece + 1) * huge_page_bytes);
            clock_->now += prices.piece;
            bool any = false;
            for (std::uint64_t n = at / page_bytes; n < end / page_bytes; ++n) {
                Page& page = pages_[n];
                if (page.bits != AccessBits{})
                    visitor.visit(Gpa{n * page_bytes}, small_[piece] ? PageSize::small : PageSize::huge, page.bits);
                any = any || page.bits.accessed;
                page.bits = {};
            }
            clock_->now += any && small_[piece] ? prices.small_page * pages_per_piece : 0;
            at = end;
        }
    }
    AccessBits access_bits(Gpa page) const override { return pages_[entry_of(page.value / page_bytes)].bits; }

    // core::GuestMemory
    bool read(Gpa from, std::span<std::byte> into) const override
    {
        std::fill(into.begin(), into.end(), std::byte{0});
        std::memcpy(into.data(), &from.value, sizeof(from.value)); // entropy() looks at it
        return true;
    }
    bool write(Gpa, std::span<std::byte const>) override { return false; }
    std::byte const* view(Gpa, std::size_t) const override { return nullptr; }
    bool touches_sensor(Gpa, std::uint64_t) const override { return false; }

    // MemoryStream
    bool put(wire::Record record, std::byte const*, Tsc at) override
    {
        EXPECT_LE(sizeof(record), free + words_share);
        free -= std::min<std::uint64_t>(free, sizeof(record));
        clock_->now += prices.record;
        note(record);
        if (keep)
            records.push_back({record, {}, at});
        return true;
    }
    std::uint64_t room() const override { return free; }
    std::uint64_t capacity() const override { return 1U << 24; }
    std::uint16_t entropy(std::byte const* page) override
    {
        std::uint64_t address = 0;
        std::memcpy(&address, page, sizeof(address));
        return encrypted_from <= address && address < encrypted_end ? 0xFFF0 : 0x4000;
    }

    [[nodiscard]] std::uint64_t pages() const { return pages_.size(); }
    [[nodiscard]] std::uint32_t touched_in_scan(std::uint64_t n) const { return pages_[n].touched_in_scan; }
    [[nodiscard]] std::uint32_t reported_in_scan(std::uint64_t n) const { return pages_[n].reported_in_scan; }
    [[nodiscard]] bool is_small(std::uint64_t n) const { return small_[n / pages_per_piece]; }

    Prices prices;
    bool keep = false;
    std::vector<ModelStream::Item> records;
    std::uint64_t free = 1ULL << 60;
    std::uint64_t encrypted_from = 0, encrypted_end = 0;
    std::uint32_t scan = 1; ///< flushes begin a new one
    std::uint64_t refills = 0, flushes = 0, faults = 0;
    std::uint64_t small_pages_seen = 0, pieces_seen = 0, scanned_bytes = 0;
    static constexpr std::uint64_t words_share = 64 * 1024;

private:
    struct Page {
        AccessBits bits{};
        bool cached = false, cached_dirty = false;
        bool touched = false; ///< since it was reported last
        paging::Permissions rights = paging::rights_all;
        std::uint32_t touched_in_scan = 0, reported_in_scan = 0;
    };

    [[nodiscard]] std::uint64_t entry_of(std::uint64_t number) const
    {
        return small_[number / pages_per_piece] ? number : number / pages_per_piece * pages_per_piece;
    }

    /// What a record claims must be true.
    void note(wire::Record const& record)
    {
        auto const kind = static_cast<wire::Kind>(record.kind.get());
        std::uint64_t const first = record.address.get() / page_bytes, count = record.length.get() / page_bytes;
        if (kind == wire::Kind::memory_scanned)
            scanned_bytes += record.length.get();
        if ((kind != wire::Kind::memory_read && kind != wire::Kind::memory_write) ||
            record.flags.get() != wire::record_flag::by_scan)
            return;
        bool const small = record.page_class.get() == static_cast<std::uint8_t>(wire::PageClass::page_4k);
        (small ? small_pages_seen : pieces_seen) += small ? count : count / pages_per_piece;
        for (std::uint64_t n = first; n < first + count; ++n) {
            EXPECT_TRUE(!small || pages_[n].touched) << "a page that was not touched since it was reported last";
            pages_[n].touched = false;
            pages_[n].reported_in_scan = scan;
        }
    }

    ModelClock* clock_;
    std::vector<PageRange> ranges_;
    std::vector<Page> pages_;
    std::vector<bool> small_;
    std::vector<std::uint64_t> cached_; ///< entries that the TLB holds
    Engine* engine_ = nullptr;
};

} // namespace undercroft::memory::model
