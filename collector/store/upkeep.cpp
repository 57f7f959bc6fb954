// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/upkeep.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include <spdlog/spdlog.h>

namespace undercroft::collector {
namespace {

using HashSet = std::unordered_set<ContentHash, ContentHashFold>;

template <typename Visit>
void visit_hashes(fs::path const& path, char const* column, Visit const& visit)
{
    auto const hashes = read_column(path, column);
    for (auto const& chunk : hashes->chunks()) {
        auto const& values = static_cast<arrow::FixedSizeBinaryArray const&>(*chunk);
        for (std::int64_t i = 0; i < values.length(); ++i) {
            if (values.IsNull(i))
                continue;
            ContentHash hash;
            std::copy_n(values.GetValue(i), hash.size(), hash.begin());
            visit(hash);
        }
    }
}

bool is_record_file(fs::path const& path)
{
    return range_of(path.filename()).has_value();
}

} // namespace

void Upkeep::run(std::chrono::system_clock::time_point now)
{
    if (options_.keep_age || options_.keep_bytes)
        retain(now);
    if (!options_.compact)
        return;
    for (fs::path const& stream : stream_folders())
        for (auto const& entry : fs::directory_iterator{stream})
            if (entry.is_directory())
                compact_folder(entry.path());
}

std::vector<fs::path> Upkeep::stream_folders() const
{
    std::vector<fs::path> folders;
    auto const below = [](fs::path const& folder, std::string_view prefix) {
        std::vector<fs::path> found;
        for (auto const& entry : fs::directory_iterator{folder})
            if (entry.is_directory() && entry.path().filename().string().starts_with(prefix))
                found.push_back(entry.path());
        return found;
    };
    for (fs::path const& machine : below(store_, "machine="))
        for (fs::path const& boot : below(machine, "boot="))
            for (fs::path const& stream : below(boot, "stream="))
                folders.push_back(stream);
    return folders;
}

std::string Upkeep::relative(fs::path const& path) const
{
    return path.lexically_relative(store_).generic_string();
}

bool Upkeep::may_delete(fs::path const& path) const
{
    return observer_ == nullptr || observer_->may_delete(relative(path));
}

/// Record files go first, the oldest before the others; then the content that nobody refers to any more.
void Upkeep::retain(std::chrono::system_clock::time_point now)
{
    auto const files = oldest_first();
    std::uint64_t total = 0;
    for (Candidate const& file : files)
        total += file.bytes;
    std::optional<fs::file_time_type> newest_deleted;
    auto const file_now = std::chrono::file_clock::from_sys(now);
    for (Candidate const& file : files) {
        bool const old = options_.keep_age && file.written + *options_.keep_age < file_now;
        bool const too_much = options_.keep_bytes && total > *options_.keep_bytes;
        if (!old && !too_much)
            break;
        if (!is_record_file(file.path) || !delete_records(file))
            continue;
        ++(old ? totals_.files_deleted_by_age : totals_.files_deleted_by_size);
        total -= file.bytes;
        newest_deleted = file.written;
    }
    if (newest_deleted)
        delete_unused_content(*newest_deleted);
}

std::vector<Upkeep::Candidate> Upkeep::oldest_first() const
{
    std::vector<Candidate> files;
    auto const guard = keep_files();
    for (auto const& entry : fs::recursive_directory_iterator{store_})
        if (entry.is_regular_file() && entry.path().extension() == ".parquet")
            files.push_back({entry.path(), entry.file_size(), entry.last_write_time()});
    std::ranges::sort(files, {}, &Candidate::written);
    return files;
}

/// The stream's position must outlive its last file: otherwise old datagrams would be taken again.
bool Upkeep::delete_records(Candidate const& file)
{
    if (!may_delete(file.path))
        return false;
    fs::path const stream = file.path.parent_path().parent_path();
    auto const guard = keep_files();
    StreamPosition const position = position_from_files(stream);
    if (range_of(file.path.filename())->last + 1 == position.next_sequence)
        write_position(stream, position);
    remove_durably(file.path);
    std::error_code ignored; // not empty
    fs::remove(file.path.parent_path(), ignored);
    return true;
}

void Upkeep::delete_unused_content(fs::file_time_type before)
{
    if (!fs::exists(store_ / "content"))
        return;
    auto const content_guard = keep_content();
    HashSet used;
    for (Candidate const& file : oldest_first())
        if (is_record_file(file.path))
            visit_hashes(file.path, "content", [&](ContentHash const& hash) { used.insert(hash); });
    for (Candidate const& file : oldest_first()) {
        // Content is written just before the records that brought it: a little slack.
        if (is_record_file(file.path) || file.written > before + std::chrono::minutes{1} || !may_delete(file.path))
            continue;
        std::vector<ContentHash> hashes;
        visit_hashes(file.path, "hash", [&](ContentHash const& hash) { hashes.push_back(hash); });
        if (std::ranges::any_of(hashes, [&](ContentHash const& hash) { return used.contains(hash); }))
            continue;
        auto const guard = keep_files();
        for (ContentHash const& hash : hashes)
            known_.erase(hash);
        remove_durably(file.path);
    }
}

} // namespace undercroft::collector
