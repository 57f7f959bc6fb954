// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/trace_lines.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace undercroft::analysis {
namespace {

constexpr std::uint64_t most_bytes = 1U << 30;
constexpr std::uint64_t most_seconds = 9'000'000'000; // keeps time_ns within 63 bits
constexpr int most_digits = 19;                       // of a number that always fits 64 bits
constexpr int no_exponent_above = 400;

constexpr std::array<double, 23> powers_of_ten{1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

constexpr bool is_digit(char c)
{
    return static_cast<unsigned char>(c - '0') < 10;
}

/// A cursor over one line. Each take_ function returns false, the cursor anywhere, when the text is not what it says.
struct Cursor {
    char const* at;
    char const* end;

    void skip_spaces()
    {
        while (at != end && (*at == ' ' || *at == '\t'))
            ++at;
    }

    bool take_unsigned(std::uint64_t& value)
    {
        skip_spaces();
        char const* const first = at;
        std::uint64_t result = 0;
        while (at != end && is_digit(*at))
            result = result * 10 + static_cast<std::uint64_t>(*at++ - '0');
        value = result;
        return at != first && at - first <= most_digits;
    }

    bool take_comma()
    {
        skip_spaces();
        return at != end && *at++ == ',';
    }

    bool take_nan()
    {
        if (end - at < 3 || std::memcmp(at, "NaN", 3) != 0)
            return false;
        at += 3;
        return true;
    }

    /// Digits with an optional point; what is beyond 19 digits does not change a 32-bit result.
    bool take_mantissa(std::uint64_t& mantissa, int& exponent)
    {
        int digits = 0;
        mantissa = 0;
        exponent = 0;
        bool point = false;
        for (; at != end && (is_digit(*at) || (*at == '.' && !point)); ++at) {
            if (*at == '.') {
                point = true;
                continue;
            }
            ++digits;
            if (mantissa < 1'000'000'000'000'000'000U) {
                mantissa = mantissa * 10 + static_cast<std::uint64_t>(*at - '0');
                exponent -= point ? 1 : 0;
            } else {
                exponent += point ? 0 : 1;
            }
        }
        return digits != 0;
    }

    bool take_exponent(int& exponent)
    {
        if (at == end || (*at != 'e' && *at != 'E'))
            return true;
        ++at;
        bool const negative = at != end && *at == '-';
        if (at != end && (*at == '-' || *at == '+'))
            ++at;
        std::uint64_t digits = 0;
        if (at == end || !is_digit(*at) || !take_unsigned(digits))
            return false;
        int const bounded = static_cast<int>(std::min<std::uint64_t>(digits, no_exponent_above));
        exponent += negative ? -bounded : bounded;
        return true;
    }

    bool take_real(double& value)
    {
        skip_spaces();
        if (take_nan()) {
            value = std::numeric_limits<double>::quiet_NaN();
            return true;
        }
        bool const negative = at != end && *at == '-';
        at += negative ? 1 : 0;
        std::uint64_t mantissa = 0;
        int exponent = 0;
        if (!take_mantissa(mantissa, exponent) || !take_exponent(exponent))
            return false;
        double result = static_cast<double>(mantissa);
        for (; exponent > 0 && result < 2; --exponent) // anything from 2 on is out of range all the same
            result *= 10;
        for (; exponent < 0 && result != 0; exponent += std::min(-exponent, 22))
            result /= powers_of_ten[static_cast<std::size_t>(std::min(-exponent, 22))];
        value = negative ? -result : result;
        return true;
    }

    bool at_end()
    {
        skip_spaces();
        return at == end;
    }
};

class Parser {
public:
    Parser(TraceKind kind, SubSecondScale scale, std::vector<Access>& accesses, Complaints& complaints)
        : kind_{kind}, scale_{scale}, accesses_{accesses}, complaints_{complaints}
    {
    }

    void parse(std::string_view text)
    {
        if (text.starts_with("\xEF\xBB\xBF")) {
            complaints_.add(Complaint::byte_order_mark);
            text.remove_prefix(3);
        }
        char const* at = text.data();
        char const* const end = at + text.size();
        bool first = true;
        while (at != end) {
            auto const* stop = static_cast<char const*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
            if (stop == nullptr) {
                complaints_.add(Complaint::unfinished_last_line);
                stop = end;
            }
            line(at, stop, first);
            first = false;
            at = stop == end ? end : stop + 1;
        }
    }

private:
    void line(char const* begin, char const* end, bool first)
    {
        if (end != begin && end[-1] == '\r') {
            complaints_.add(Complaint::carriage_return);
            --end;
        }
        Cursor cursor{begin, end};
        if (cursor.at_end())
            complaints_.add(Complaint::blank_line);
        else if (first && (std::isalpha(static_cast<unsigned char>(*cursor.at)) != 0 || *cursor.at == '"'))
            complaints_.add(Complaint::header_line);
        else if (Access access; !fields(cursor, access))
            complaints_.add(Complaint::malformed_line);
        else if (usable_)
            accesses_.push_back(access);
    }

    bool fields(Cursor& cursor, Access& access)
    {
        std::uint64_t seconds = 0;
        std::uint64_t sub_seconds = 0;
        std::uint64_t bytes = 0;
        usable_ = true;
        if (!cursor.take_unsigned(seconds) || !cursor.take_comma() || !cursor.take_unsigned(sub_seconds) ||
            !cursor.take_comma() || !cursor.take_unsigned(access.address) || !cursor.take_comma() ||
            !cursor.take_unsigned(bytes) || seconds > most_seconds)
            return false;
        access.kind = kind_;
        access.time_ns = time_of(seconds, sub_seconds);
        access.bytes = static_cast<std::uint32_t>(std::min(bytes, most_bytes));
        bool const bad_size = bytes > most_bytes || (bytes == 0 && !is_memory(kind_));
        if (!rest(cursor, access))
            return false;
        if (bad_size) {
            complaints_.add(Complaint::bytes_out_of_range);
            usable_ = false;
        }
        return true;
    }

    /// Fifth and sixth column; RanSAP's reads have neither.
    bool rest(Cursor& cursor, Access& access)
    {
        if (cursor.at_end())
            return kind_ == TraceKind::read;
        double entropy = 0;
        double last = 0;
        if (!cursor.take_comma() || !cursor.take_real(entropy) || !cursor.take_comma() || !cursor.take_real(last) ||
            !cursor.at_end())
            return false;
        if (kind_ != TraceKind::read && kind_ != TraceKind::memory_read && kind_ != TraceKind::memory_execute)
            access.entropy = judge_entropy(entropy);
        if (is_memory(kind_))
            access.mapping = mapping_of(last);
        return true;
    }

    float judge_entropy(double entropy)
    {
        if (entropy >= 0 && entropy <= 1)
            return static_cast<float>(entropy) + 0.0F; // -0.0 becomes 0
        complaints_.add(entropy == -1 || entropy != entropy ? Complaint::entropy_missing
                                                            : Complaint::entropy_out_of_range);
        return std::numeric_limits<float>::quiet_NaN();
    }

    MappingClass mapping_of(double type)
    {
        if (type == 1 || type == 2 || type == 4)
            return static_cast<MappingClass>(static_cast<std::uint8_t>(type));
        complaints_.add(Complaint::unknown_mapping);
        return MappingClass::none;
    }

    std::int64_t time_of(std::uint64_t seconds, std::uint64_t sub_seconds)
    {
        std::uint64_t const second = scale_ == SubSecondScale::two_to_30 ? std::uint64_t{1} << 30 : 1'000'000'000;
        if (sub_seconds >= second) {
            complaints_.add(Complaint::sub_seconds_out_of_range);
            seconds = std::min(seconds + sub_seconds / second, most_seconds);
            sub_seconds %= second;
        }
        std::uint64_t const ns = scale_ == SubSecondScale::two_to_30
                                     ? (sub_seconds * 1'000'000'000 + (std::uint64_t{1} << 29)) >> 30
                                     : sub_seconds;
        return static_cast<std::int64_t>(seconds * 1'000'000'000 + ns);
    }

    TraceKind kind_;
    SubSecondScale scale_;
    std::vector<Access>& accesses_;
    Complaints& complaints_;
    bool usable_ = true;
};

} // namespace

std::string_view to_string(Complaint complaint)
{
    constexpr std::array<std::string_view, complaint_kinds> names{"byte_order_mark",
                                                                  "carriage_return",
                                                                  "blank_line",
                                                                  "header_line",
                                                                  "malformed_line",
                                                                  "unfinished_last_line",
                                                                  "sub_seconds_out_of_range",
                                                                  "bytes_out_of_range",
                                                                  "entropy_out_of_range",
                                                                  "entropy_missing",
                                                                  "unknown_mapping"};
    return names[static_cast<std::size_t>(complaint)];
}

Complaints& Complaints::operator+=(Complaints const& other)
{
    for (std::size_t i = 0; i < complaint_kinds; ++i)
        counts[i] += other.counts[i];
    return *this;
}

bool Complaints::any() const
{
    return std::ranges::any_of(counts, [](std::uint64_t count) { return count != 0; });
}

void parse_trace_lines(std::string_view text, TraceKind kind, SubSecondScale scale, std::vector<Access>& accesses,
                       Complaints& complaints)
{
    constexpr std::size_t usual_line_bytes = 36;
    accesses.reserve(accesses.size() + text.size() / usual_line_bytes);
    Parser{kind, scale, accesses, complaints}.parse(text);
}

} // namespace undercroft::analysis
