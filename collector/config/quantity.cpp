// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/config/quantity.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace undercroft::collector {
namespace {

struct NamedUnit {
    std::string_view name;
    double factor; ///< seconds or bytes
};

constexpr std::array time_units{
    NamedUnit{"ms", 1e-3},   NamedUnit{"s", 1},        NamedUnit{"min", 60},      NamedUnit{"h", 3600},
    NamedUnit{"day", 86400}, NamedUnit{"days", 86400}, NamedUnit{"week", 604800}, NamedUnit{"weeks", 604800},
};
constexpr double kibi = 1024;
constexpr std::array size_units{
    NamedUnit{"B", 1},
    NamedUnit{"kB", 1e3},
    NamedUnit{"MB", 1e6},
    NamedUnit{"GB", 1e9},
    NamedUnit{"TB", 1e12},
    NamedUnit{"KiB", kibi},
    NamedUnit{"MiB", kibi* kibi},
    NamedUnit{"GiB", kibi* kibi* kibi},
    NamedUnit{"TiB", kibi* kibi* kibi* kibi},
};

struct Description {
    Unit unit;
    bool time;
    std::string_view suffix;
    char const* type_name;
    double factor;
};
constexpr std::array descriptions{
    Description{Unit::milliseconds, true, "ms", "MILLISECONDS", 1e-3},
    Description{Unit::seconds, true, "s", "SECONDS", 1},
    Description{Unit::days, true, "days", "DAYS", 86400},
    Description{Unit::bytes, false, "B", "BYTES", 1},
    Description{Unit::mebibytes, false, "MiB", "MIB", kibi* kibi},
    Description{Unit::gigabytes, false, "GB", "GB", 1e9},
};

constexpr std::string_view validator_prefix = "unit:";

Description const& describe(Unit unit)
{
    return descriptions.at(static_cast<std::size_t>(unit));
}

template <std::size_t size>
std::expected<double, std::string> factor_of(std::array<NamedUnit, size> const& units, std::string_view name)
{
    std::string known;
    for (NamedUnit const& unit : units) {
        if (unit.name == name)
            return unit.factor;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", unit.name);
    }
    return std::unexpected{fmt::format("'{}' is no unit here; known are {}", name, known)};
}

std::string_view without_blanks(std::string_view text)
{
    auto const first = text.find_first_not_of(' ');
    return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

} // namespace

std::string_view suffix_of(Unit unit)
{
    return describe(unit).suffix;
}

bool is_time(Unit unit)
{
    return describe(unit).time;
}

std::expected<double, std::string> parse_quantity(std::string_view text, Unit unit)
{
    Description const& wanted = describe(unit);
    std::string_view const amount = without_blanks(text);
    double value = 0;
    // Only plain decimal numbers: "inf", "nan" and exponents are no amounts that a person means.
    bool const digits = !amount.empty() && amount.front() >= '0' && amount.front() <= '9';
    auto const [end, error] =
        std::from_chars(amount.data(), amount.data() + amount.size(), value, std::chars_format::fixed);
    if (!digits || error != std::errc{})
        return std::unexpected{fmt::format("'{}' is no amount; it looks like \"{}\"", text,
                                           wanted.time ? "30 s, 5 min or 90 days" : "64 MiB, 2 GiB or 500 GB")};
    std::string_view const name = without_blanks({end, static_cast<std::size_t>(amount.data() + amount.size() - end)});
    if (name.empty())
        return value;
    auto const factor = wanted.time ? factor_of(time_units, name) : factor_of(size_units, name);
    if (!factor)
        return std::unexpected{factor.error()};
    return value * *factor / wanted.factor;
}

CLI::Option* with_unit(CLI::Option* option, Unit unit)
{
    auto const convert = [unit](std::string& text) -> std::string {
        auto const value = parse_quantity(text, unit);
        if (!value)
            return value.error();
        text = fmt::format("{}", *value);
        // Whole amounts without ".0": the option may be an integer.
        if (*value == std::floor(*value) && *value < 1e18)
            text = fmt::format("{:.0f}", *value);
        return {};
    };
    Description const& description = describe(unit);
    std::string const name = std::string{validator_prefix} + std::string{description.suffix};
    return option->type_name(description.type_name)->transform(CLI::Validator{convert, "", name});
}

std::optional<Unit> unit_of(CLI::Option& option)
{
    for (Description const& description : descriptions) {
        try {
            static_cast<void>(option.get_validator(std::string{validator_prefix} + std::string{description.suffix}));
            return description.unit;
        } catch (CLI::OptionNotFound const&) {
            continue;
        }
    }
    return std::nullopt;
}

} // namespace undercroft::collector
