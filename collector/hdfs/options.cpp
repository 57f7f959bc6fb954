// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/options.hpp"

#include <algorithm>
#include <charconv>

namespace undercroft::collector {
namespace {

bool is_authority(std::string_view text)
{
    std::size_t const colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
        return false;
    std::string_view const port = text.substr(colon + 1);
    unsigned value = 0;
    auto const parsed = std::from_chars(port.data(), port.data() + port.size(), value);
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    return parsed.ec == std::errc{} && parsed.ptr == port.data() + port.size() && value >= 1 && value <= 65535 &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

bool is_permission(std::string_view text)
{
    return text.empty() ||
           (text.size() <= 4 && text.size() >= 3 && text.find_first_not_of("01234567") == std::string_view::npos);
}

} // namespace

std::expected<HdfsUrl, std::string> parse_hdfs_url(std::string_view text)
{
    std::string const quoted = "'" + std::string{text} + "'";
    HdfsUrl url;
    if (text.starts_with("swebhdfs://"))
        url.tls = true;
    else if (!text.starts_with("webhdfs://"))
        return std::unexpected{quoted + " is not webhdfs://HOST:PORT/FOLDER or swebhdfs://HOST:PORT/FOLDER"};
    text.remove_prefix(text.find("://") + 3);
    std::size_t const slash = std::min(text.find('/'), text.size());
    std::string_view names = text.substr(0, slash);
    url.folder = text.substr(slash);
    while (url.folder.ends_with('/'))
        url.folder.pop_back();
    if (std::ranges::any_of(url.folder, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }))
        return std::unexpected{"the folder in the HDFS URL has control characters"};
    for (;;) {
        std::size_t const comma = std::min(names.find(','), names.size());
        if (!is_authority(names.substr(0, comma)))
            return std::unexpected{quoted + ": '" + std::string{names.substr(0, comma)} + "' is not HOST:PORT"};
        url.name_nodes.emplace_back(names.substr(0, comma));
        if (comma == names.size())
            return url;
        names.remove_prefix(comma + 1);
    }
}

std::string hdfs_options_problem(HdfsOptions const& options)
{
    if (auto const url = parse_hdfs_url(options.url); !url)
        return url.error();
    if (!is_permission(options.file_permission) || !is_permission(options.folder_permission))
        return "permissions on HDFS are three or four octal digits, such as 640";
    if (!options.user.empty() && !options.token_file.empty())
        return "an HDFS user and a delegation token exclude each other";
    if (options.replication < 0 || options.replication > 512)
        return "the replication on HDFS must be between 1 and 512 (0: the cluster's default)";
    return {};
}

std::string percent_encode(std::string_view path)
{
    constexpr std::string_view kept = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/=";
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string result;
    for (char const c : path) {
        if (kept.contains(c)) {
            result += c;
            continue;
        }
        auto const byte = static_cast<unsigned char>(c);
        result += '%';
        result += digits[byte >> 4];
        result += digits[byte & 15];
    }
    return result;
}

} // namespace undercroft::collector
