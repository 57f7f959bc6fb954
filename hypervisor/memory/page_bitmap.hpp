// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One bit for each page of a PageIndex. Any CPU may set and clear bits at any time.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace undercroft::memory {

class PageBitmap {
public:
    using Word = std::atomic<std::uint64_t>;
    static constexpr std::uint64_t none = ~0ULL;
    [[nodiscard]] static constexpr std::uint64_t words_for(std::uint64_t pages) { return (pages + 63) / 64; }

    PageBitmap() = default;
    /// Takes words_for(pages) zeroed words.
    PageBitmap(Word* words, std::uint64_t pages) : words_{words}, pages_{pages} {}

    [[nodiscard]] std::uint64_t pages() const { return pages_; }
    [[nodiscard]] bool test(std::uint64_t page) const
    {
        return (words_[page / 64].load(std::memory_order_acquire) >> page % 64 & 1) != 0;
    }
    void set(std::uint64_t page) { words_[page / 64].fetch_or(1ULL << page % 64, std::memory_order_acq_rel); }
    void clear(std::uint64_t page) { words_[page / 64].fetch_and(~(1ULL << page % 64), std::memory_order_acq_rel); }

    void set_range(std::uint64_t first, std::uint64_t count)
    {
        for_each_mask(first, count,
                      [](Word& word, std::uint64_t mask) { word.fetch_or(mask, std::memory_order_acq_rel); });
    }
    void clear_all()
    {
        for (std::uint64_t i = 0; i < words_for(pages_); ++i)
            words_[i].store(0, std::memory_order_release);
    }
    /// Adds the other's bits, which it loses. Both have the same number of pages.
    void take_from(PageBitmap& other)
    {
        for (std::uint64_t i = 0; i < words_for(pages_); ++i)
            if (std::uint64_t const bits = other.words_[i].exchange(0, std::memory_order_acq_rel); bits != 0)
                words_[i].fetch_or(bits, std::memory_order_acq_rel);
    }
    /// Adds the other's bits, which keeps them.
    void copy_from(PageBitmap const& other)
    {
        for (std::uint64_t i = 0; i < words_for(pages_); ++i)
            if (std::uint64_t const bits = other.words_[i].load(std::memory_order_acquire); bits != 0)
                words_[i].fetch_or(bits, std::memory_order_acq_rel);
    }
    /// The first set bit from `page` on that lies below `end`; `none` when there is none.
    [[nodiscard]] std::uint64_t next_set(std::uint64_t page, std::uint64_t end) const
    {
        end = end < pages_ ? end : pages_;
        while (page < end) {
            std::uint64_t const word = words_[page / 64].load(std::memory_order_acquire) >> page % 64;
            if (word != 0) {
                std::uint64_t const found = page + static_cast<std::uint64_t>(std::countr_zero(word));
                return found < end ? found : none;
            }
            page = (page / 64 + 1) * 64;
        }
        return none;
    }
    [[nodiscard]] std::uint64_t next_set(std::uint64_t page) const { return next_set(page, pages_); }
    [[nodiscard]] std::uint64_t count() const
    {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < words_for(pages_); ++i)
            sum += static_cast<std::uint64_t>(std::popcount(words_[i].load(std::memory_order_relaxed)));
        return sum;
    }

private:
    template <typename Apply>
    void for_each_mask(std::uint64_t first, std::uint64_t count, Apply&& apply)
    {
        std::uint64_t const end = first + count;
        for (std::uint64_t page = first; page < end;) {
            std::uint64_t const in_word = std::min<std::uint64_t>(64 - page % 64, end - page);
            std::uint64_t const ones = in_word == 64 ? ~0ULL : (1ULL << in_word) - 1;
            apply(words_[page / 64], ones << page % 64);
            page += in_word;
        }
    }

    Word* words_ = nullptr;
    std::uint64_t pages_ = 0;
};

} // namespace undercroft::memory
