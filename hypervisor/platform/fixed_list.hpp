// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <span>

namespace undercroft::platform {

/// A list with room for N; what does not fit is counted, not dropped silently.
template <typename T, std::size_t N>
class FixedList {
public:
    bool push(T const& item)
    {
        if (size_ == N) {
            ++omitted_;
            return false;
        }
        items_[size_++] = item;
        return true;
    }
    void clear() { size_ = omitted_ = 0; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    /// Items that found no room.
    [[nodiscard]] std::size_t omitted() const { return omitted_; }
    [[nodiscard]] T const& operator[](std::size_t i) const { return items_[i]; }
    [[nodiscard]] T& operator[](std::size_t i) { return items_[i]; }
    [[nodiscard]] T const* begin() const { return items_.data(); }
    [[nodiscard]] T const* end() const { return items_.data() + size_; }
    [[nodiscard]] T* begin() { return items_.data(); }
    [[nodiscard]] T* end() { return items_.data() + size_; }

private:
    std::array<T, N> items_{};
    std::size_t size_ = 0, omitted_ = 0;
};

} // namespace undercroft::platform
