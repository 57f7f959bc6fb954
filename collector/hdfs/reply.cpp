// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/reply.hpp"

#include <charconv>
#include <limits>

#include <nlohmann/json.hpp>

namespace undercroft::collector {
namespace {

using nlohmann::json;

constexpr std::size_t max_message = 300;
constexpr std::size_t max_location = 4096;
// Smaller ones, which nobody uses, would make a comparison take for ever.
constexpr std::uint32_t min_bytes_per_crc = 64;
constexpr std::uint32_t max_bytes_per_crc = 1U << 20;
constexpr std::uint64_t min_block_bytes = 1024;

/// The object called `name` in the body's object, or null.
json object_in(std::string_view body, char const* name)
{
    if (body.size() > max_hdfs_reply_bytes)
        return nullptr;
    json document = json::parse(body, nullptr, false);
    if (!document.is_object())
        return nullptr;
    auto const found = document.find(name);
    return found != document.end() && found->is_object() ? *found : json{};
}

std::optional<std::uint64_t> number_in(json const& object, char const* name)
{
    auto const found = object.find(name);
    if (found == object.end() || !found->is_number_unsigned())
        return {};
    auto const value = found->get<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return {}; // Java has no such number
    return value;
}

std::optional<std::string> text_in(json const& object, char const* name)
{
    auto const found = object.find(name);
    if (found == object.end() || !found->is_string())
        return {};
    return found->get<std::string>();
}

std::optional<std::string> from_hex(std::string_view text)
{
    std::string bytes;
    for (std::size_t at = 0; at + 2 <= text.size(); at += 2) {
        unsigned value = 0;
        auto const parsed = std::from_chars(text.data() + at, text.data() + at + 2, value, 16);
        if (parsed.ec != std::errc{} || parsed.ptr != text.data() + at + 2)
            return {};
        bytes += static_cast<char>(value);
    }
    return text.size() % 2 == 0 ? std::optional{bytes} : std::nullopt;
}

std::uint32_t big_endian(std::string_view bytes)
{
    std::uint32_t value = 0;
    for (char const c : bytes)
        value = value << 8 | static_cast<unsigned char>(c);
    return value;
}

} // namespace

std::optional<RemoteException> parse_remote_exception(std::string_view body)
{
    json const object = object_in(body, "RemoteException");
    if (!object.is_object())
        return {};
    auto const exception = text_in(object, "exception");
    if (!exception)
        return {};
    return RemoteException{.exception = printable(*exception, 100),
                           .message = printable(text_in(object, "message").value_or(""), max_message)};
}

std::optional<bool> parse_boolean(std::string_view body)
{
    if (body.size() > max_hdfs_reply_bytes)
        return {};
    json const document = json::parse(body, nullptr, false);
    if (!document.is_object() || !document.contains("boolean") || !document["boolean"].is_boolean())
        return {};
    return document["boolean"].get<bool>();
}

std::optional<HdfsFileStatus> parse_file_status(std::string_view body)
{
    json const object = object_in(body, "FileStatus");
    if (!object.is_object())
        return {};
    auto const type = text_in(object, "type");
    auto const bytes = number_in(object, "length");
    auto const block = number_in(object, "blockSize");
    if (!type || !bytes || !block || (*type != "FILE" && *type != "DIRECTORY") ||
        (*block != 0 && *block < min_block_bytes))
        return {};
    return HdfsFileStatus{.directory = *type == "DIRECTORY", .bytes = *bytes, .block_bytes = *block};
}

std::optional<HdfsChecksum> parse_file_checksum(std::string_view body)
{
    json const object = object_in(body, "FileChecksum");
    if (!object.is_object())
        return {};
    auto const algorithm = text_in(object, "algorithm");
    auto const text = text_in(object, "bytes");
    auto const bytes = text ? from_hex(*text) : std::nullopt;
    // bytes per CRC (4), CRCs per block (8, which follows from the block's size), MD5 (16); padding may follow
    if (!algorithm || !bytes || bytes->size() < 28 || !algorithm->starts_with("MD5-of-"))
        return {};
    HdfsChecksum checksum{.castagnoli = algorithm->ends_with("CRC32C"),
                          .bytes_per_crc = big_endian(std::string_view{*bytes}.substr(0, 4)),
                          .md5 = bytes->substr(12, 16)};
    if ((!checksum.castagnoli && !algorithm->ends_with("CRC32")) || checksum.bytes_per_crc < min_bytes_per_crc ||
        checksum.bytes_per_crc > max_bytes_per_crc)
        return {};
    return checksum;
}

bool is_acceptable_redirect(std::string_view location, bool tls)
{
    std::string_view const scheme = tls ? "https://" : "http://";
    if (location.size() > max_location || !location.starts_with(scheme))
        return false;
    for (char const c : location)
        if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F)
            return false;
    std::string_view const rest = location.substr(scheme.size());
    std::size_t const slash = rest.find('/');
    return slash != std::string_view::npos && slash > 0 && !rest.substr(0, slash).contains('@') &&
           rest.substr(slash).starts_with("/webhdfs/v1/");
}

std::string printable(std::string_view text, std::size_t most)
{
    std::string result;
    for (char const c : text.substr(0, most)) {
        auto const byte = static_cast<unsigned char>(c);
        if (byte == '\n' || byte == '\r')
            break;
        result += byte >= 0x20 && byte < 0x7F ? c : '?';
    }
    return result;
}

} // namespace undercroft::collector
