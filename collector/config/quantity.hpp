// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Amounts with a unit, on the command line and in the configuration file: "30 s", "64 MiB", "90 days".
#include <CLI/CLI.hpp>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace undercroft::collector {

enum class Unit : std::uint8_t { milliseconds, seconds, days, bytes, mebibytes, gigabytes };

/// As it stands behind a number of this unit: "s", "days", "B", "MiB".
[[nodiscard]] std::string_view suffix_of(Unit unit);

[[nodiscard]] bool is_time(Unit unit);

/// `text` in `unit`; a bare number is in that unit already. The error says what is allowed.
[[nodiscard]] std::expected<double, std::string> parse_quantity(std::string_view text, Unit unit);

/// Lets `option`, a number in `unit`, also be given with another unit of the same kind.
CLI::Option* with_unit(CLI::Option* option, Unit unit);

/// The unit that with_unit gave the option.
[[nodiscard]] std::optional<Unit> unit_of(CLI::Option& option);

} // namespace undercroft::collector
