// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/key_ring.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace undercroft::collector {
namespace {

constexpr std::size_t max_file_bytes = 16 << 20;

[[noreturn]] void fail(std::string const& file, std::size_t line, std::string const& text)
{
    throw KeyFileError{file + " line " + std::to_string(line) + ": " + text +
                       ". Wanted: 64 hexadecimal digits (one key for all machines), or lines of 32 digits of machine "
                       "id, a space and 64 digits of key"};
}

} // namespace

KeyRing KeyRing::parse(std::string const& text, std::string const& file_name)
{
    KeyRing ring;
    std::istringstream lines{text};
    std::string line;
    for (std::size_t number = 1; std::getline(lines, line); ++number) {
        std::istringstream words{line};
        std::string first;
        std::string second;
        std::string rest;
        if (!(words >> first) || first.front() == '#')
            continue;
        wire::Key key;
        bool const two_words = static_cast<bool>(words >> second);
        if (words >> rest)
            fail(file_name, number, "more than two words");
        if (!from_hex(two_words ? second : first, key))
            fail(file_name, number, "the key is not 64 hexadecimal digits");
        if (!two_words) {
            if (ring.common_)
                fail(file_name, number, "a second key without a machine id");
            ring.common_ = key;
            continue;
        }
        auto const machine = id_from_hex(first);
        if (!machine)
            fail(file_name, number, "the machine id is not 32 hexadecimal digits");
        if (!ring.by_machine_.emplace(*machine, key).second)
            fail(file_name, number, "machine " + first + " has a key already");
    }
    if (!ring.common_ && ring.by_machine_.empty())
        throw KeyFileError{file_name + " holds no key. Make one with: openssl rand -hex 32 > " + file_name};
    return ring;
}

KeyRing KeyRing::read(std::string const& path)
{
    std::ifstream stream{path, std::ios::binary};
    if (!stream)
        throw KeyFileError{"cannot read the key file " + path + ": " + std::strerror(errno)};
    std::string text(max_file_bytes, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    return parse(text, path);
}

wire::Key const* KeyRing::find(Id const& machine) const
{
    auto const found = by_machine_.find(machine);
    if (found != by_machine_.end())
        return &found->second;
    return common_ ? &*common_ : nullptr;
}

} // namespace undercroft::collector
