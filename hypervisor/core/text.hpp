// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Text into a caller's buffer, for log lines and error messages without a heap or libc.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace undercroft::core {

// std::string_view's find and substr need memchr and exceptions, which the sensor does not have.

/// Position of the first \p wanted, or text.size().
[[nodiscard]] constexpr std::size_t position_of(char wanted, std::string_view text)
{
    std::size_t i = 0;
    while (i < text.size() && text[i] != wanted)
        ++i;
    return i;
}

/// At most \p count characters from \p first on; empty past the end.
[[nodiscard]] constexpr std::string_view slice(std::string_view text, std::size_t first,
                                               std::size_t count = std::string_view::npos)
{
    if (first >= text.size())
        return {};
    std::size_t const rest = text.size() - first;
    return {text.data() + first, count < rest ? count : rest};
}

/// Appends until the buffer is full; what does not fit is cut and full() tells so.
class TextBuffer {
public:
    explicit TextBuffer(std::span<char> out) : out_{out} {}

    TextBuffer& put(char c)
    {
        if (size_ < out_.size())
            out_[size_++] = c;
        else
            full_ = true;
        return *this;
    }
    TextBuffer& put(std::string_view text)
    {
        for (char const c : text)
            put(c);
        return *this;
    }
    /// Text of unknown origin: anything but printable ASCII becomes '?'.
    TextBuffer& put_printable(std::string_view text)
    {
        for (char const c : text)
            put(c >= 0x20 && c < 0x7f ? c : '?');
        return *this;
    }
    TextBuffer& put_decimal(std::uint64_t number, unsigned least_digits = 1)
    {
        return put_number(number, 10, least_digits);
    }
    /// Without a prefix.
    TextBuffer& put_hex(std::uint64_t number, unsigned least_digits = 1)
    {
        return put_number(number, 16, least_digits);
    }

    [[nodiscard]] std::string_view view() const { return {out_.data(), size_}; }
    [[nodiscard]] bool full() const { return full_; }

private:
    TextBuffer& put_number(std::uint64_t number, unsigned base, unsigned least_digits)
    {
        char digits[20];
        unsigned count = 0;
        do {
            digits[count++] = "0123456789abcdef"[number % base];
            number /= base;
        } while (number != 0);
        for (unsigned i = count; i < least_digits; ++i)
            put('0');
        while (count > 0)
            put(digits[--count]);
        return *this;
    }
    std::span<char> out_;
    std::size_t size_ = 0;
    bool full_ = false;
};

} // namespace undercroft::core
