// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/aligned_buffer.hpp"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

namespace undercroft::collector {

void AlignedBuffer::Free::operator()(std::uint8_t* memory) const
{
    std::free(memory);
}

void AlignedBuffer::append(std::span<std::uint8_t const> bytes)
{
    std::size_t const before = size_;
    resize(before + bytes.size());
    if (!bytes.empty())
        std::memcpy(data_.get() + before, bytes.data(), bytes.size());
}

void AlignedBuffer::resize(std::size_t size)
{
    if (size > capacity_) {
        std::size_t const capacity = std::bit_ceil(std::max(size, direct_alignment));
        std::unique_ptr<std::uint8_t, Free> larger{
            static_cast<std::uint8_t*>(std::aligned_alloc(direct_alignment, capacity))};
        if (!larger)
            throw std::bad_alloc{};
        if (size_ != 0)
            std::memcpy(larger.get(), data_.get(), size_);
        data_ = std::move(larger);
        capacity_ = capacity;
    }
    size_ = size;
}

} // namespace undercroft::collector
