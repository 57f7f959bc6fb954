// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/memory_request.hpp"

#include <cstring>

#include <nlohmann/json.hpp>

#include "wire/memory_names.hpp"

namespace undercroft::collector {
namespace {

template <typename Enum>
std::string name_or_number(std::uint16_t value)
{
    std::string_view const name = wire::name_of(static_cast<Enum>(value));
    return name.empty() ? std::to_string(value) : std::string{name};
}

/// Bits without a name appear as one number, so that nothing of the request is lost.
nlohmann::ordered_json flags_json(std::uint16_t flags)
{
    auto list = nlohmann::ordered_json::array();
    for (auto const& [bit, name] : wire::memory_flag_names) {
        if ((flags & bit) != 0)
            list.push_back(name);
        flags = static_cast<std::uint16_t>(flags & ~bit);
    }
    if (flags != 0)
        list.push_back(std::to_string(flags));
    return list;
}

} // namespace

std::string memory_request_json(std::span<std::uint8_t const> bytes)
{
    wire::MemoryRequest request;
    std::memcpy(&request, bytes.data(), sizeof(request));
    nlohmann::ordered_json json = {{"mode", name_or_number<wire::MemoryMode>(request.mode.get())},
                                   {"action", name_or_number<wire::MemoryAction>(request.action.get())},
                                   {"flags", flags_json(request.flags.get())}};
    wire::visit_numbers(request, [&](char const* name, auto value) { json[name] = value; });
    return json.dump();
}

} // namespace undercroft::collector
