// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Bytes that begin at a page, as transfers past the page cache want them.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace undercroft::collector {

/// What offsets, lengths and addresses of such transfers are multiples of; enough for every usual disk.
inline constexpr std::size_t direct_alignment = 4096;

/// Grows by doubling and keeps its memory.
class AlignedBuffer {
public:
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] std::span<std::uint8_t> bytes() { return {data_.get(), size_}; }
    [[nodiscard]] std::span<std::uint8_t const> bytes() const { return {data_.get(), size_}; }
    void append(std::span<std::uint8_t const> bytes);
    /// New bytes hold anything.
    void resize(std::size_t size);
    void clear() { size_ = 0; }
    void swap(AlignedBuffer& other) noexcept
    {
        data_.swap(other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

private:
    struct Free {
        void operator()(std::uint8_t* memory) const;
    };
    std::unique_ptr<std::uint8_t, Free> data_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace undercroft::collector
