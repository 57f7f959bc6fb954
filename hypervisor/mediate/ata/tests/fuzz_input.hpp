// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A fuzzer's bytes, taken from the front; past their end everything is 0.
#include <cstdint>
#include <cstdlib>
#include <span>

namespace undercroft::ata::fake {

class Input {
public:
    explicit Input(std::span<std::uint8_t const> bytes) : rest_{bytes} {}
    [[nodiscard]] bool empty() const { return rest_.empty(); }
    /// The next `bytes` bytes, little-endian; at most sizeof(T).
    template <typename T = std::uint64_t>
    T take(unsigned bytes)
    {
        T value = 0;
        for (unsigned i = 0; i < bytes && !rest_.empty(); ++i, rest_ = rest_.subspan(1))
            value |= static_cast<T>(rest_.front()) << i * 8;
        return value;
    }

private:
    std::span<std::uint8_t const> rest_;
};

inline void require(bool holds)
{
    if (!holds)
        std::abort();
}

} // namespace undercroft::ata::fake
