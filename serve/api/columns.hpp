// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Binary replies (docs/formats/page-api.md): u32 length of a JSON text, the text, then columns that a browser lays
// typed arrays over without copying. The text names each column, its type, its offset behind the text and its items.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "serve/http/message.hpp"

namespace undercroft::serve {

template <typename Item>
constexpr std::string_view type_name();
template <>
constexpr std::string_view type_name<std::uint8_t>()
{
    return "u8";
}
template <>
constexpr std::string_view type_name<std::uint16_t>()
{
    return "u16";
}
template <>
constexpr std::string_view type_name<std::uint32_t>()
{
    return "u32";
}
template <>
constexpr std::string_view type_name<std::uint64_t>()
{
    return "u64";
}
template <>
constexpr std::string_view type_name<std::int64_t>()
{
    return "i64";
}
template <>
constexpr std::string_view type_name<float>()
{
    return "f32";
}
template <>
constexpr std::string_view type_name<double>()
{
    return "f64";
}

class ColumnReply {
public:
    /// `about` becomes the JSON text, with `columns` added.
    explicit ColumnReply(nlohmann::json about) : about_(std::move(about)) {}

    template <typename Item>
    void add(std::string_view name, std::span<Item const> items)
    {
        data_.resize((data_.size() + 7) / 8 * 8);
        about_["columns"].push_back(
            {{"name", name}, {"type", type_name<Item>()}, {"offset", data_.size()}, {"items", items.size()}});
        data_.append(reinterpret_cast<char const*>(items.data()), items.size_bytes());
    }
    template <typename Item>
    void add(std::string_view name, std::vector<Item> const& items)
    {
        add(name, std::span<Item const>{items});
    }
    /// A grid that is mostly empty as `name`.index and `name`.value, another one as `name`; nothing when it is all 0.
    void add_grid(std::string const& name, std::span<double const> cells);

    [[nodiscard]] Reply finish() const;

private:
    nlohmann::json about_;
    std::string data_;
};

} // namespace undercroft::serve
