// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/export/java_number.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace undercroft::analysis {
namespace {

template <typename Float>
std::string format(Float value)
{
    if (std::isnan(value))
        return "NaN";
    std::string text = std::signbit(value) ? "-" : "";
    if (std::isinf(value))
        return text + "Infinity";
    if (value == 0)
        return text + "0.0";
    std::array<char, 32> buffer{};
    auto const written =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value), std::chars_format::scientific);
    std::string_view const scientific{buffer.data(), static_cast<std::size_t>(written.ptr - buffer.data())};
    std::size_t const e = scientific.find('e');
    std::string digits{scientific.substr(0, 1)};
    if (e > 1)
        digits += scientific.substr(2, e - 2);
    std::string_view const exponent_text = scientific.substr(scientific[e + 1] == '+' ? e + 2 : e + 1);
    int exponent = 0;
    std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
    auto const or_zero = [](std::string const& fraction) { return fraction.empty() ? std::string{"0"} : fraction; };
    if (exponent < -3 || exponent >= 7)
        return text + digits.substr(0, 1) + "." + or_zero(digits.substr(1)) + "E" + std::to_string(exponent);
    if (exponent < 0)
        return text + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    auto const whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() < whole)
        digits.resize(whole, '0');
    return text + digits.substr(0, whole) + "." + or_zero(digits.substr(whole));
}

} // namespace

std::string java_text(double value)
{
    return format(value);
}

std::string java_text(float value)
{
    return format(value);
}

} // namespace undercroft::analysis
