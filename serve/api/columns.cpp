// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/api/columns.hpp"

#include <algorithm>
#include <cstring>

namespace undercroft::serve {

void ColumnReply::add_grid(std::string const& name, std::span<double const> cells)
{
    auto const used = static_cast<std::size_t>(std::ranges::count_if(cells, [](double cell) { return cell != 0; }));
    if (used == 0)
        return;
    std::vector<float> values;
    if (2 * used >= cells.size()) {
        values.assign(cells.begin(), cells.end());
        add(name, values);
        return;
    }
    std::vector<std::uint32_t> places;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (cells[i] == 0)
            continue;
        places.push_back(static_cast<std::uint32_t>(i));
        values.push_back(static_cast<float>(cells[i]));
    }
    add(name + ".index", places);
    add(name + ".value", values);
}

Reply ColumnReply::finish() const
{
    std::string text = about_.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    text.resize((text.size() + 4 + 7) / 8 * 8 - 4, ' '); // the columns begin at a multiple of 8
    auto const length = static_cast<std::uint32_t>(text.size());
    Reply reply{.content_type = "application/octet-stream"};
    reply.body.resize(sizeof length);
    std::memcpy(reply.body.data(), &length, sizeof length);
    reply.body += text;
    reply.body += data_;
    return reply;
}

} // namespace undercroft::serve
