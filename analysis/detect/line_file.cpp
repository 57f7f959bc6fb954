// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/line_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 20;
constexpr std::size_t chunk_bytes = std::size_t{1} << 16;

[[noreturn]] void fail(fs::path const& file)
{
    throw Error{fmt::format("{}: {}", file.string(), std::strerror(errno))};
}

} // namespace

void append_line(fs::path const& file, nlohmann::json const& line, bool durable)
{
    append_text(file, line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n", durable);
}

void append_text(fs::path const& file, std::string const& text, bool durable)
{
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    int const fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        fail(file);
    bool const written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                         (!durable || ::fdatasync(fd) == 0);
    int const reason = errno;
    ::close(fd);
    errno = reason;
    if (!written)
        fail(file);
}

void LineFollower::read(std::function<void(nlohmann::json const&)> const& visit)
{
    std::error_code error;
    for (fs::directory_entry const& entry : fs::directory_iterator{folder_, error})
        if (entry.path().extension() == ".jsonl" && entry.is_regular_file(error))
            offsets_.try_emplace(entry.path(), 0);
    for (auto& [file, offset] : offsets_)
        read_file(file, offset, visit);
}

void LineFollower::read_file(fs::path const& file, std::uintmax_t& offset,
                             std::function<void(nlohmann::json const&)> const& visit)
{
    std::error_code error;
    std::uintmax_t const size = fs::file_size(file, error);
    if (error || size == offset)
        return;
    if (size < offset)
        offset = 0; // replaced
    std::ifstream in{file, std::ios::binary};
    in.seekg(static_cast<std::streamoff>(offset));
    std::string text;
    std::string chunk(chunk_bytes, '\0');
    while (in) {
        in.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
        text.append(chunk, 0, static_cast<std::size_t>(in.gcount()));
        std::size_t begin = 0;
        for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
            nlohmann::json const line =
                nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                      text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
            if (line.is_discarded())
                ++unusable_;
            else
                visit(line);
            begin = end + 1;
        }
        offset += begin;
        text.erase(0, begin);
        if (text.size() > longest_line) { // no line of ours
            ++unusable_;
            offset += text.size();
            text.clear();
        }
    }
}

} // namespace undercroft::analysis
