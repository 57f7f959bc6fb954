// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/zip_archive.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <zlib.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint32_t end_signature = 0x06054b50;
constexpr std::uint32_t entry_signature = 0x02014b50;
constexpr std::uint32_t local_signature = 0x04034b50;
constexpr std::size_t end_bytes = 22;
constexpr std::size_t entry_bytes = 46;
constexpr std::size_t local_bytes = 30;
constexpr std::size_t longest_comment = 65535;

/// Little-endian number of `size` bytes. Throws when it lies outside the archive.
std::uint32_t number(std::string_view archive, std::size_t at, std::size_t size)
{
    if (at > archive.size() || archive.size() - at < size)
        throw Error{"the ZIP file is cut short"};
    std::uint32_t value = 0;
    for (std::size_t i = size; i-- > 0;)
        value = value << 8 | static_cast<unsigned char>(archive[at + i]);
    return value;
}

std::string_view part(std::string_view archive, std::size_t at, std::size_t size)
{
    if (at > archive.size() || archive.size() - at < size)
        throw Error{"the ZIP file is cut short"};
    return archive.substr(at, size);
}

std::size_t find_end(std::string_view archive)
{
    if (archive.size() >= end_bytes) {
        std::size_t const last = archive.size() - end_bytes;
        std::size_t const first = last - std::min(last, longest_comment);
        for (std::size_t at = last + 1; at-- > first;)
            if (number(archive, at, 4) == end_signature)
                return at;
    }
    throw Error{"not a ZIP file"};
}

struct Entry {
    std::uint32_t method{};
    std::uint32_t crc{};
    std::uint32_t packed_bytes{};
    std::uint32_t bytes{};
    std::uint32_t local_header{};
};

Entry find_entry(std::string_view archive, std::string_view file_name)
{
    std::size_t const end = find_end(archive);
    std::uint32_t const entries = number(archive, end + 10, 2);
    std::size_t at = number(archive, end + 16, 4);
    for (std::uint32_t i = 0; i < entries; ++i) {
        if (number(archive, at, 4) != entry_signature)
            throw Error{"the ZIP file's directory is damaged"};
        std::size_t const name_bytes = number(archive, at + 28, 2);
        if (part(archive, at + entry_bytes, name_bytes).ends_with(file_name)) {
            if ((number(archive, at + 8, 2) & 1) != 0)
                throw Error{"the ZIP file is encrypted"};
            return {number(archive, at + 10, 2), number(archive, at + 16, 4), number(archive, at + 20, 4),
                    number(archive, at + 24, 4), number(archive, at + 42, 4)};
        }
        at += entry_bytes + name_bytes + number(archive, at + 30, 2) + number(archive, at + 32, 2);
    }
    throw Error{fmt::format("the ZIP file holds no {}", file_name)};
}

std::string inflate_all(std::string_view packed, std::size_t bytes)
{
    std::string text(bytes, '\0');
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        throw Error{"zlib cannot be started"};
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data())); // zlib reads only
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = reinterpret_cast<Bytef*>(text.data());
    stream.avail_out = static_cast<uInt>(text.size());
    int const result = inflate(&stream, Z_FINISH);
    bool const whole = result == Z_STREAM_END && stream.total_out == bytes;
    inflateEnd(&stream);
    if (!whole)
        throw Error{"the ZIP file's data is damaged"};
    return text;
}

} // namespace

std::string unpack_zip_entry(std::string_view archive, std::string_view file_name, std::uint64_t most_bytes)
{
    Entry const entry = find_entry(archive, file_name);
    if (entry.bytes > most_bytes)
        throw Error{fmt::format("{} in the ZIP file is {} bytes, more than {}", file_name, entry.bytes, most_bytes)};
    if (number(archive, entry.local_header, 4) != local_signature)
        throw Error{"the ZIP file's directory is damaged"};
    std::size_t const data = entry.local_header + local_bytes + number(archive, entry.local_header + 26, 2) +
                             number(archive, entry.local_header + 28, 2);
    std::string_view const packed = part(archive, data, entry.packed_bytes);
    // Deflate cannot pack more than 1032 to 1: a directory that says so would have us allocate for nothing.
    if (entry.bytes / 1032 > packed.size())
        throw Error{"the ZIP file's directory is damaged"};
    std::string text;
    if (entry.method == 8)
        text = inflate_all(packed, entry.bytes);
    else if (entry.method == 0 && entry.packed_bytes == entry.bytes)
        text = packed;
    else
        throw Error{fmt::format("the ZIP file packs {} by method {}, which is not known", file_name, entry.method)};
    if (crc32_z(0, reinterpret_cast<Bytef const*>(text.data()), text.size()) != entry.crc)
        throw Error{"the ZIP file's data does not match its checksum"};
    return text;
}

} // namespace undercroft::analysis
