// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The request target of a stranger: path and parameters, decoded once and within bounds.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace undercroft::serve {

inline constexpr std::size_t most_target_bytes = 4096;
inline constexpr std::size_t most_parameters = 32;

struct Target {
    std::string path;                              ///< begins with '/', decoded, without "." and ".." segments
    std::map<std::string, std::string> parameters; ///< decoded; each name once

    /// The parameter as a whole decimal number within [least, most]; nothing when it is absent or anything else.
    [[nodiscard]] std::optional<std::int64_t> number(std::string const& name, std::int64_t least,
                                                     std::int64_t most) const;
    /// The parameter; empty when it is absent.
    [[nodiscard]] std::string text(std::string const& name) const;
};

/// Nothing when the target is not one that this server's own page would send.
[[nodiscard]] std::optional<Target> parse_target(std::string_view text);

/// "a=1&b=2" with percent-encoding and '+'. Nothing when malformed, too long or a name comes twice.
[[nodiscard]] std::optional<std::map<std::string, std::string>> parse_form(std::string_view text);

/// The value of a cookie in a Cookie header; empty when it is not there.
[[nodiscard]] std::string_view find_cookie(std::string_view header, std::string_view name);

} // namespace undercroft::serve
