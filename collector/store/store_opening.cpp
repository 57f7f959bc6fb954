// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Before a store is in use: one collector only, a format that is known, and what an earlier run left unfinished.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "collector/log/log.hpp"
#include "collector/store/store.hpp"

namespace undercroft::collector {
namespace {

constexpr int store_format = 1;

} // namespace

void Store::lock()
{
    lock_ = File{options_.folder / "journal" / "lock", O_RDWR | O_CREAT};
    if (::flock(lock_.fd(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            throw_errno("cannot lock", lock_.path());
        std::array<std::uint8_t, 32> owner{};
        std::size_t const length = lock_.read_at(0, owner);
        throw StoreError{fmt::format("the store {} is in use by another collector (process {}); stop it first or "
                                     "choose another folder with --store",
                                     options_.folder.string(),
                                     std::string{reinterpret_cast<char const*>(owner.data()), length}),
                         EWOULDBLOCK};
    }
    std::string const owner = std::to_string(::getpid());
    lock_.truncate(0);
    lock_.write_at(0, std::span{reinterpret_cast<std::uint8_t const*>(owner.data()), owner.size()});
}

void Store::check_format() const
{
    fs::path const path = options_.folder / "undercroft-store.json";
    if (!fs::exists(path)) {
        replace_file(path, nlohmann::json{{"format", store_format}}.dump() + "\n", true);
        return;
    }
    std::ifstream stream{path};
    auto const document = nlohmann::json::parse(stream, nullptr, false);
    if (!document.is_object() || !document.contains("format") || !document["format"].is_number_integer())
        throw StoreError{path.string() + " is not what a store has there; is --store the right folder?", 0};
    if (document["format"] != store_format)
        throw StoreError{fmt::format("{} says format {}, this program knows format {}", path.string(),
                                     document["format"].dump(), store_format),
                         0};
}

void Store::remove_parts() const
{
    auto const options = fs::directory_options::skip_permission_denied;
    for (auto const& entry : fs::recursive_directory_iterator{options_.folder, options})
        if (entry.is_regular_file() && entry.path().extension() == part_suffix)
            ::unlink(entry.path().c_str());
}

void Store::recover()
{
    std::uint64_t const highest_content = load_content_index(options_.folder, known_);
    auto const segments = list_segments(options_.folder / "journal");
    next_segment_ = std::max(highest_content, segments.empty() ? 0 : segments.back()) + 1;
    for (std::uint64_t const segment : segments) {
        log_event(spdlog::level::info, "segment_finished_late",
                  fmt::format("journal: finishing segment {} of an earlier run", segment),
                  {.file = std::to_string(segment)});
        converter_.convert(segment, segment == segments.back());
    }
}

} // namespace undercroft::collector
