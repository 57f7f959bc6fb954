// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Everything that a NameNode, a DataNode or somebody in their place can answer. The first byte says which answer the
// rest is.
#include <cstdint>
#include <cstdlib>

#include "collector/hdfs/options.hpp"
#include "collector/hdfs/reply.hpp"

namespace {

using namespace undercroft::collector;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

bool is_one_printable_line(std::string_view text)
{
    for (char const c : text)
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7E)
            return false;
    return true;
}

void check_location(std::string_view text)
{
    for (bool const tls : {false, true}) {
        if (is_acceptable_redirect(text, tls))
            require(text.starts_with(tls ? "https://" : "http://") && is_one_printable_line(text));
    }
    if (auto const url = parse_hdfs_url(text))
        require(!url->name_nodes.empty() && (url->folder.empty() || url->folder.front() == '/'));
    require(is_one_printable_line(percent_encode(text)));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* input, std::size_t size)
{
    if (size == 0)
        return 0;
    std::string_view const text{reinterpret_cast<char const*>(input) + 1, size - 1};
    switch (input[0] % 5) {
    case 0:
        if (auto const remote = parse_remote_exception(text))
            require(is_one_printable_line(remote->exception) && is_one_printable_line(remote->message) &&
                    remote->message.size() <= 300);
        break;
    case 1:
        static_cast<void>(parse_boolean(text));
        break;
    case 2:
        if (auto const status = parse_file_status(text))
            require(status->bytes <= INT64_MAX && status->block_bytes <= INT64_MAX);
        break;
    case 3:
        if (auto const checksum = parse_file_checksum(text))
            require(checksum->md5.size() == 16 && checksum->bytes_per_crc >= 64 && checksum->bytes_per_crc <= 1U << 20);
        break;
    default:
        check_location(text);
    }
    return 0;
}
