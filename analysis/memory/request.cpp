// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/memory/request.hpp"

#include <nlohmann/json.hpp>

namespace undercroft::analysis {

AddressRange ModeRequest::range() const
{
    std::uint64_t const most = ~std::uint64_t{0};
    bool const to_end = range_bytes == 0 || range_begin > most - range_bytes;
    return {.first = range_begin, .end = to_end ? most : range_begin + range_bytes};
}

std::optional<ModeRequest> parse_request(std::string_view text)
{
    auto const json = nlohmann::json::parse(text, nullptr, false);
    auto const is_number = [&](char const* key) { return json.contains(key) && json[key].is_number_unsigned(); };
    if (!json.is_object() || !json.contains("mode") || !json["mode"].is_string() || !is_number("range_begin") ||
        !is_number("range_bytes"))
        return std::nullopt;
    return ModeRequest{.mode = json["mode"].get<std::string>(),
                       .starts = json.contains("action") && json["action"] == "start",
                       .range_begin = json["range_begin"].get<std::uint64_t>(),
                       .range_bytes = json["range_bytes"].get<std::uint64_t>()};
}

} // namespace undercroft::analysis
