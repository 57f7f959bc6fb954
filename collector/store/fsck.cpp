// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/fsck.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <unordered_set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "collector/store/journal.hpp"
#include "collector/store/record_file.hpp"

namespace undercroft::collector {
namespace {

using HashSet = std::unordered_set<ContentHash, ContentHashFold>;

template <typename Array>
std::shared_ptr<Array> column_of(fs::path const& path, std::string const& name)
{
    auto const joined = arrow::Concatenate(read_column(path, name)->chunks());
    check(joined.status(), path);
    auto array = std::dynamic_pointer_cast<Array>(*joined);
    if (!array)
        throw StoreError{path.string() + ": column " + name + " is " + (*joined)->type()->ToString(), 0};
    return array;
}

ContentHash hash_at(arrow::FixedSizeBinaryArray const& values, std::int64_t index)
{
    ContentHash hash;
    std::copy_n(values.GetValue(index), hash.size(), hash.begin());
    return hash;
}

class Check {
public:
    Check(fs::path const& store, FsckOptions options) : store_{store}, options_{options} {}

    FsckReport run()
    {
        check_marker();
        in_use_ = !take_lock();
        if (in_use_ && options_.repair)
            throw StoreError{store_.string() + " is in use by a collector; stop it before --repair", EWOULDBLOCK};
        check_leftovers();
        check_journal();
        check_content();
        check_streams();
        return report_;
    }

private:
    std::string relative(fs::path const& path) const { return path.lexically_relative(store_).generic_string(); }

    void find(Finding::Grade grade, fs::path const& path, std::string text, bool repaired = false)
    {
        if (repaired)
            ++report_.repaired;
        else if (grade == Finding::Grade::problem)
            ++report_.problems;
        if (report_.findings.size() < max_findings)
            report_.findings.push_back({grade, relative(path), std::move(text), repaired});
    }
    void problem(fs::path const& path, std::string text, bool repaired = false)
    {
        find(Finding::Grade::problem, path, std::move(text), repaired);
    }
    void note(fs::path const& path, std::string text) { find(Finding::Grade::note, path, std::move(text)); }

    void check_marker() const
    {
        std::ifstream stream{store_ / "undercroft-store.json"};
        auto const document = stream ? nlohmann::json::parse(stream, nullptr, false) : nlohmann::json{};
        if (!document.is_object() || document.value("format", nlohmann::json{}) != 1)
            throw StoreError{store_.string() + " is not a store of format 1: undercroft-store.json does not say so", 0};
    }

    bool take_lock()
    {
        fs::path const path = store_ / "journal" / "lock";
        if (!fs::exists(path))
            return true;
        lock_ = File{path, O_RDONLY};
        return ::flock(lock_.fd(), LOCK_EX | LOCK_NB) == 0;
    }

    void check_leftovers()
    {
        std::vector<fs::path> parts;
        for (auto const& entry : fs::recursive_directory_iterator{store_}) {
            if (!entry.is_regular_file())
                continue;
            if (entry.path().extension() == part_suffix)
                parts.push_back(entry.path());
            else if (entry.path().extension() == ".damaged")
                problem(entry.path(), "set aside as damaged by an earlier run; look at it, then move it away");
            else if (entry.path().extension() == ".json" && !readable_json(entry.path()))
                problem(entry.path(), "is not JSON");
        }
        for (fs::path const& path : parts) {
            if (in_use_) {
                note(path, "is being written");
                continue;
            }
            if (options_.repair)
                remove_durably(path);
            problem(path, "unfinished file of an interrupted run (the next start of collect removes it)",
                    options_.repair);
        }
    }

    static bool readable_json(fs::path const& path)
    {
        std::ifstream stream{path};
        return stream && !nlohmann::json::parse(stream, nullptr, false).is_discarded();
    }

    void check_journal()
    {
        if (!fs::exists(store_ / "journal"))
            return;
        auto const segments = list_segments(store_ / "journal");
        for (std::uint64_t const number : segments) {
            fs::path const path = segment_path(store_ / "journal", number);
            JournalReader reader{path};
            JournalEntry entry;
            std::uint64_t slots = 0;
            while (reader.next(entry))
                ++slots;
            ++report_.journal_segments;
            report_.journal_slots += slots;
            if (reader.torn_bytes() != 0 && number != segments.back())
                problem(path, fmt::format("{} bytes after {} good slots cannot be read: records may be missing",
                                          reader.torn_bytes(), slots));
            else
                note(path, fmt::format("{} slots wait to become Parquet{}", slots,
                                       reader.torn_bytes() != 0 ? ", and the last write was interrupted" : ""));
        }
    }

    /// Renames a file that cannot be read, so that readers can go on; the gap that it leaves is then found by name.
    void set_aside(fs::path const& path, std::string const& why)
    {
        if (options_.repair)
            publish(path, path.string() + ".damaged");
        problem(path, why + (options_.repair ? "; set aside as .damaged" : ""), options_.repair);
    }

    void check_content()
    {
        if (!fs::exists(store_ / "content"))
            return;
        std::vector<fs::path> files;
        for (auto const& entry : fs::recursive_directory_iterator{store_ / "content"})
            if (entry.is_regular_file() && entry.path().extension() == ".parquet")
                files.push_back(entry.path());
        std::ranges::sort(files);
        for (fs::path const& path : files) {
            ++report_.content_files;
            try {
                check_content_file(path);
            } catch (StoreError const& error) {
                set_aside(path, error.what());
            }
        }
    }

    void check_content_file(fs::path const& path)
    {
        auto const hashes = column_of<arrow::FixedSizeBinaryArray>(path, "hash");
        report_.content_blocks += static_cast<std::uint64_t>(hashes->length());
        for (std::int64_t i = 0; i < hashes->length(); ++i)
            blocks_.insert(hash_at(*hashes, i));
        if (!options_.deep)
            return;
        std::int64_t row = 0;
        auto const data = read_column(path, "data");
        for (auto const& chunk : data->chunks()) {
            auto const& values = static_cast<arrow::BinaryArray const&>(*chunk);
            for (std::int64_t i = 0; i < values.length(); ++i, ++row) {
                std::string_view const block = values.GetView(i);
                if (sha256(reinterpret_cast<std::uint8_t const*>(block.data()), block.size()) != hash_at(*hashes, row))
                    problem(path, fmt::format("block {} is not what its hash says", row));
            }
        }
    }

    void check_streams()
    {
        std::map<fs::path, std::map<std::uint64_t, std::vector<std::pair<FileRange, fs::path>>>> streams;
        for (auto const& entry : fs::recursive_directory_iterator{store_}) {
            fs::path const& path = entry.path();
            if (!entry.is_regular_file() || path.extension() != ".parquet" || relative(path).starts_with("content/"))
                continue;
            auto const range = range_of(path.filename());
            if (!range || range->first > range->last)
                problem(path, "the name is not <first seq>-<last seq>.parquet");
            else
                streams[path.parent_path().parent_path()][range->first].emplace_back(*range, path);
        }
        for (auto const& [stream, by_first] : streams) {
            ++report_.streams;
            std::vector<std::pair<FileRange, fs::path>> files;
            for (auto const& [first, same] : by_first)
                files.insert(files.end(), same.begin(), same.end());
            std::ranges::sort(files, [](auto const& a, auto const& b) {
                return a.first.first != b.first.first ? a.first.first < b.first.first : a.first.last > b.first.last;
            });
            check_stream(stream, files);
        }
    }

    void check_stream(fs::path const& stream, std::vector<std::pair<FileRange, fs::path>> const& files)
    {
        std::uint64_t next = 0;
        bool first = true;
        FileRange whole{};
        for (auto const& [range, path] : files) {
            if (!first && whole.contains(range)) {
                if (options_.repair)
                    remove_durably(path);
                problem(path, "its rows are also in a larger file: left over from an interrupted compaction",
                        options_.repair);
                continue;
            }
            if (first && range.first != 0)
                note(stream,
                     fmt::format("begins with record {}: what came before was deleted by retention, or never came",
                                 range.first));
            else if (range.first > next)
                problem(path, fmt::format("records {} to {} are missing before it, without a gap row", next,
                                          range.first - 1));
            else if (range.first < next)
                problem(path, fmt::format("overlaps the file before, which ends with record {}", next - 1));
            try {
                check_rows(path, range);
            } catch (StoreError const& error) {
                set_aside(path, error.what());
            }
            first = false;
            next = range.last + 1;
            whole = range;
        }
    }

    void check_rows(fs::path const& path, FileRange range)
    {
        auto const sequence = column_of<arrow::UInt64Array>(path, "seq");
        auto const kind = column_of<arrow::StringArray>(path, "kind");
        auto const length = column_of<arrow::UInt32Array>(path, "length");
        auto const content = column_of<arrow::FixedSizeBinaryArray>(path, "content");
        ++report_.record_files;
        report_.rows += static_cast<std::uint64_t>(sequence->length());
        std::uint64_t next = range.first;
        std::uint64_t lost_blocks = 0;
        for (std::int64_t i = 0; i < sequence->length(); ++i) {
            if (sequence->Value(i) != next) {
                problem(path, fmt::format("row {} has number {}, {} is wanted", i, sequence->Value(i), next));
                return;
            }
            bool const gap = kind->GetView(i) == "gap";
            next += gap ? length->Value(i) : 1;
            report_.gap_rows += gap ? 1 : 0;
            report_.gap_records += gap ? length->Value(i) : 0;
            if (content->IsValid(i) && !blocks_.contains(hash_at(*content, i)))
                ++lost_blocks;
        }
        if (next != range.last + 1)
            problem(path, fmt::format("ends with record {}, its name says {}", next - 1, range.last));
        if (lost_blocks != 0)
            problem(path, fmt::format("{} rows refer to content that no content file has", lost_blocks));
    }

    fs::path store_;
    FsckOptions options_;
    FsckReport report_;
    File lock_;
    bool in_use_ = false;
    HashSet blocks_;
};

} // namespace

FsckReport check_store(fs::path const& store, FsckOptions options)
{
    return Check{store, options}.run();
}

} // namespace undercroft::collector
