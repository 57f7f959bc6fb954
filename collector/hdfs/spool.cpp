// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/spool.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace undercroft::collector {
namespace {

/// One list for each target, named by what cannot be in a file name.
std::string short_hash(std::string_view text)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    std::string result;
    for (unsigned char const byte : std::span{digest}.first(8))
        result += fmt::format("{:02x}", byte);
    return result;
}

/// `text` with a CRC-32 behind it, so that a line that was being written in a crash is known.
std::string sealed(std::string const& text)
{
    auto const crc =
        ::crc32(0, reinterpret_cast<unsigned char const*>(text.data()), static_cast<unsigned>(text.size()));
    return fmt::format("{} {:08x}\n", text, crc);
}

std::string uploaded_line(std::string const& path, FileVersion const& version)
{
    return sealed(fmt::format("have {} {} {}", version.bytes, version.modified_ns, path));
}

std::string replaced_line(Replacement const& replacement)
{
    return sealed(fmt::format("replaced {} {}", replacement.old, replacement.by));
}

std::vector<std::string_view> split(std::string_view line)
{
    std::vector<std::string_view> words;
    for (std::size_t at = 0; at <= line.size();) {
        std::size_t const space = std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, space - at));
        at = space + 1;
    }
    return words;
}

template <typename Number>
bool parse(std::string_view text, Number& value)
{
    auto const result = std::from_chars(text.data(), text.data() + text.size(), value);
    return result.ec == std::errc{} && result.ptr == text.data() + text.size();
}

} // namespace

FileVersion version_of(fs::path const& file)
{
    return version_of(File{file, O_RDONLY});
}

FileVersion version_of(File const& file)
{
    struct stat status{};
    if (::fstat(file.fd(), &status) != 0)
        throw_errno("cannot examine", file.path());
    return {.bytes = static_cast<std::uint64_t>(status.st_size),
            .modified_ns = status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

HdfsSpool::HdfsSpool(fs::path store, std::string const& target) : store_{std::move(store)}, target_{target}
{
    fs::path const folder = store_ / "hdfs";
    create_directories_durably(folder);
    path_ = folder / (short_hash(target) + ".log");
    lock_ = File{path_.string() + ".lock", O_RDWR | O_CREAT};
    if (::flock(lock_.fd(), LOCK_EX | LOCK_NB) != 0)
        throw StoreError{fmt::format("another process uploads {} to {} already", store_.string(), target), errno};
    read();
    rewrite();
}

void HdfsSpool::read()
{
    if (!fs::exists(path_))
        return;
    File const file{path_, O_RDONLY};
    std::string text(file.size(), '\0');
    text.resize(file.read_at(0, std::span{reinterpret_cast<std::uint8_t*>(text.data()), text.size()}));
    for (std::size_t at = 0; at < text.size();) {
        std::size_t const end = std::min(text.find('\n', at), text.size());
        apply(std::string_view{text}.substr(at, end - at));
        at = end + 1;
    }
}

/// A line that is cut short or damaged is left out: its file is compared with HDFS again.
void HdfsSpool::apply(std::string_view line)
{
    std::size_t const space = line.rfind(' ');
    if (space == std::string_view::npos || sealed(std::string{line.substr(0, space)}) != std::string{line} + "\n")
        return;
    auto const words = split(line.substr(0, space));
    FileVersion version;
    if (words.size() == 4 && words[0] == "have" && parse(words[1], version.bytes) &&
        parse(words[2], version.modified_ns))
        uploaded_[std::string{words[3]}] = version;
    else if (words.size() == 3 && words[0] == "replaced")
        replacements_.push_back({.old = std::string{words[1]}, .by = std::string{words[2]}});
    else if (words.size() == 2 && words[0] == "deleted")
        std::erase_if(replacements_, [&](Replacement const& one) { return one.old == words[1]; });
}

/// The list grows with every upload; at a start it shrinks to what the store still has.
void HdfsSpool::rewrite()
{
    std::erase_if(uploaded_, [&](auto const& entry) { return !fs::exists(store_ / entry.first); });
    std::string text = "# files of this store that are at " + target_ + "\n";
    for (auto const& [path, version] : uploaded_)
        text += uploaded_line(path, version);
    for (Replacement const& replacement : replacements_)
        text += replaced_line(replacement);
    replace_file(path_, text, true);
    log_ = File{path_, O_WRONLY};
    log_bytes_ = text.size();
}

void HdfsSpool::append(std::string const& lines, bool durable)
{
    log_.write_at(log_bytes_, std::span{reinterpret_cast<std::uint8_t const*>(lines.data()), lines.size()});
    log_bytes_ += lines.size();
    if (durable)
        log_.sync_data();
}

bool HdfsSpool::has(std::string const& path, FileVersion const& version) const
{
    std::lock_guard const guard{mutex_};
    auto const found = uploaded_.find(path);
    return found != uploaded_.end() && found->second == version;
}

bool HdfsSpool::has_any(std::string const& path) const
{
    std::lock_guard const guard{mutex_};
    return uploaded_.contains(path);
}

void HdfsSpool::note_uploaded(std::string const& path, FileVersion const& version)
{
    std::lock_guard const guard{mutex_};
    uploaded_[path] = version;
    append(uploaded_line(path, version), false);
}

void HdfsSpool::note_replaced(std::vector<std::string> const& old, std::string const& by)
{
    std::lock_guard const guard{mutex_};
    std::string lines;
    for (std::string const& path : old) {
        lines += replaced_line({.old = path, .by = by});
        replacements_.push_back({.old = path, .by = by});
    }
    append(lines, true);
}

void HdfsSpool::note_deleted(std::string const& old)
{
    std::lock_guard const guard{mutex_};
    std::erase_if(replacements_, [&](Replacement const& one) { return one.old == old; });
    uploaded_.erase(old);
    append(sealed("deleted " + old), false);
}

std::vector<Replacement> HdfsSpool::replacements() const
{
    std::lock_guard const guard{mutex_};
    return replacements_;
}

std::vector<StoreFile> list_closed_files(fs::path const& store)
{
    std::vector<StoreFile> records;
    std::vector<StoreFile> content;
    std::vector<StoreFile> meta;
    // Records first: what they refer to was closed before them, so the second walk finds it.
    for (char const* const pass : {"records", "content"}) {
        bool const is_content = pass == std::string_view{"content"};
        fs::path const root = is_content ? store / "content" : store;
        if (!fs::exists(root))
            continue;
        for (auto walk = fs::recursive_directory_iterator{root}; walk != fs::recursive_directory_iterator{}; ++walk) {
            std::string const path = fs::relative(walk->path(), store).generic_string();
            if (walk->is_directory()) {
                if (!is_content && !path.starts_with("machine="))
                    walk.disable_recursion_pending();
                continue;
            }
            if (walk->path().extension() == ".parquet")
                (is_content ? content : records)
                    .push_back({path, is_content ? ClosedKind::content : ClosedKind::records});
            else if (walk->path().extension() == ".json")
                meta.push_back({path, ClosedKind::meta});
        }
    }
    auto const number = [](StoreFile const& file) { return file.path.substr(file.path.rfind('/') + 1); };
    std::ranges::sort(content, {}, number);
    std::ranges::sort(records, {}, &StoreFile::path);
    std::ranges::sort(meta, std::ranges::greater{}, &StoreFile::path); // undercroft-store.json first
    meta.insert(meta.end(), content.begin(), content.end());
    meta.insert(meta.end(), records.begin(), records.end());
    return meta;
}

} // namespace undercroft::collector
