// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/read/store.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr char store_marker[] = "undercroft-store.json";

bool is_id(std::string_view text)
{
    return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Subfolders called `prefix`VALUE, ordered by value.
std::vector<std::pair<std::string, fs::path>> partitions(fs::path const& folder, std::string_view prefix)
{
    std::vector<std::pair<std::string, fs::path>> result;
    for (fs::directory_entry const& entry : fs::directory_iterator{folder}) {
        std::string const name = entry.path().filename().string();
        if (name.starts_with(prefix) && entry.is_directory())
            result.emplace_back(name.substr(prefix.size()), entry.path());
    }
    std::ranges::sort(result);
    return result;
}

/// "<20 digits>-<20 digits>.parquet"
RecordFile parse_name(fs::path const& path, StreamName stream)
{
    std::string const name = path.stem().string();
    RecordFile file{.stream = stream, .path = path, .bytes = fs::file_size(path)};
    auto const parse = [&](std::size_t at, std::uint64_t& value) {
        auto const [end, error] = std::from_chars(name.data() + at, name.data() + at + 20, value);
        return error == std::errc{} && end == name.data() + at + 20;
    };
    if (name.size() != 41 || name[20] != '-' || !parse(0, file.first_sequence) || !parse(21, file.last_sequence) ||
        file.first_sequence > file.last_sequence)
        throw Error{fmt::format("{}: the name is not <first seq>-<last seq>.parquet", path.string())};
    return file;
}

std::vector<RecordFile> list_record_files(Boot& boot, StreamName stream)
{
    std::vector<RecordFile> files;
    fs::path const parent = boot.folder / (stream == StreamName::memory ? "stream=memory" : "stream=storage");
    if (!fs::is_directory(parent))
        return files;
    for (auto const& [date, folder] : partitions(parent, "date=")) {
        for (fs::directory_entry const& entry : fs::directory_iterator{folder}) {
            if (entry.path().extension() == ".part")
                ++boot.unfinished_files;
            else if (entry.path().extension() == ".parquet" && entry.is_regular_file())
                files.push_back(parse_name(entry.path(), stream));
        }
    }
    // What lies within a larger file was merged into it and is about to be deleted (docs/formats/store.md).
    std::ranges::sort(files, [](RecordFile const& a, RecordFile const& b) {
        return a.first_sequence != b.first_sequence ? a.first_sequence < b.first_sequence
                                                    : a.last_sequence > b.last_sequence;
    });
    std::vector<RecordFile> kept;
    for (RecordFile& file : files)
        if (kept.empty() || file.last_sequence > kept.back().last_sequence)
            kept.push_back(std::move(file));
    for (std::size_t i = 1; i < kept.size(); ++i) {
        if (kept[i].first_sequence <= kept[i - 1].last_sequence)
            throw Error{fmt::format("{} and {} overlap", kept[i - 1].path.string(), kept[i].path.string())};
    }
    return kept;
}

void check_store(fs::path const& store)
{
    if (!fs::is_directory(store))
        throw Error{fmt::format("{}: there is no such folder", store.string())};
    fs::path const marker = store / store_marker;
    nlohmann::json const content = read_json(marker);
    if (content.is_null())
        throw Error{fmt::format("{} is not a store: it has no {}", store.string(), store_marker)};
    if (!content.is_object() || content.value("format", nlohmann::json{}) != 1)
        throw Error{fmt::format("{}: not store format 1, the only one this program reads", marker.string())};
}

} // namespace

bool is_store(fs::path const& folder)
{
    std::error_code error;
    return fs::exists(folder / store_marker, error);
}

nlohmann::json read_json(fs::path const& file)
{
    std::ifstream in{file};
    if (!in)
        return {};
    nlohmann::json result = nlohmann::json::parse(in, nullptr, false);
    if (result.is_discarded())
        throw Error{fmt::format("{}: not JSON", file.string())};
    return result;
}

std::vector<Boot> list_boots(fs::path const& store, std::string const& machine_prefix, std::string const& boot_prefix)
{
    check_store(store);
    std::vector<Boot> result;
    for (auto const& [machine, machine_folder] : partitions(store, "machine=")) {
        if (!is_id(machine) || !machine.starts_with(machine_prefix))
            continue;
        for (auto const& [id, folder] : partitions(machine_folder, "boot=")) {
            if (!is_id(id) || !id.starts_with(boot_prefix))
                continue;
            Boot boot{.machine = machine, .id = id, .folder = folder};
            boot.files = list_record_files(boot, StreamName::storage);
            boot.memory_files = list_record_files(boot, StreamName::memory);
            result.push_back(std::move(boot));
        }
    }
    return result;
}

Boot select_boot(fs::path const& store, std::string const& machine_prefix, std::string const& boot_prefix)
{
    std::vector<Boot> boots = list_boots(store, machine_prefix, boot_prefix);
    if (boots.size() == 1)
        return std::move(boots.front());
    bool const none = boots.empty();
    if (none)
        boots = list_boots(store, "", "");
    if (boots.empty())
        throw Error{fmt::format("{}: the store holds no boots yet", store.string())};
    std::string list;
    for (Boot const& boot : boots)
        list += fmt::format("\n  --machine {} --boot {}  ({} files)", boot.machine, boot.id,
                            boot.files.size() + boot.memory_files.size());
    throw Error{fmt::format("{}: {}:{}", store.string(),
                            none ? "no boot matches --machine/--boot; there are"
                                 : "several boots match; choose one with --machine/--boot (a prefix is enough)",
                            list)};
}

std::vector<fs::path> list_content_files(fs::path const& store)
{
    std::vector<fs::path> result;
    fs::path const root = store / "content";
    if (!fs::is_directory(root))
        return result;
    for (fs::directory_entry const& entry : fs::recursive_directory_iterator{root}) {
        if (entry.path().extension() == ".parquet" && entry.is_regular_file())
            result.push_back(entry.path());
    }
    std::ranges::sort(result);
    return result;
}

} // namespace undercroft::analysis
