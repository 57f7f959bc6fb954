// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/run_folder.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/traces/boot_trace.hpp"
#include "analysis/traces/zip_archive.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t most_file_bytes = std::uint64_t{4} << 30;

struct TraceFile {
    std::string_view name;
    TraceKind kind;
};
constexpr std::array<TraceFile, 6> trace_files{{{"ata_read", TraceKind::read},
                                                {"ata_write", TraceKind::write},
                                                {"mem_read", TraceKind::memory_read},
                                                {"mem_write", TraceKind::memory_write},
                                                {"mem_readwrite", TraceKind::memory_read_write},
                                                {"mem_exec", TraceKind::memory_execute}}};

bool is_trace_file(std::string const& name)
{
    return std::ranges::any_of(trace_files, [&](TraceFile const& file) {
        return name == fmt::format("{}.csv", file.name) || name == fmt::format("{}.zip", file.name) ||
               name == fmt::format("{}.csv.zip", file.name);
    });
}

std::string read_file(fs::path const& path)
{
    std::error_code error;
    std::uintmax_t const bytes = fs::file_size(path, error);
    if (error || bytes > most_file_bytes)
        throw Error{fmt::format("{}: {}", path.string(), error ? error.message() : "more than 4 GiB")};
    std::string text(bytes, '\0');
    std::ifstream in{path, std::ios::binary};
    if (!in.read(text.data(), static_cast<std::streamsize>(bytes)))
        throw Error{fmt::format("{}: cannot be read", path.string())};
    return text;
}

/// The text of `name`.csv, from the file or from a ZIP file of it.
std::optional<std::string> trace_text(fs::path const& folder, std::string_view name)
{
    std::string const csv = fmt::format("{}.csv", name);
    if (fs::exists(folder / csv))
        return read_file(folder / csv);
    for (std::string const& zip : {fmt::format("{}.zip", name), fmt::format("{}.csv.zip", name)}) {
        if (!fs::exists(folder / zip))
            continue;
        try {
            return unpack_zip_entry(read_file(folder / zip), csv, most_file_bytes);
        } catch (Error const& error) {
            throw Error{fmt::format("{}: {}", (folder / zip).string(), error.what())};
        }
    }
    return {};
}

RunPlace place_of(fs::path const& folder, fs::path const& root)
{
    RunPlace place;
    place.folder = folder;
    fs::path const relative = folder.lexically_relative(root);
    place.path = relative == "." ? folder.filename().string() : relative.generic_string();
    // From the absolute path, so that any folder of the tree can be the root.
    fs::path const full = fs::absolute(folder).lexically_normal();
    fs::path const program = full.parent_path();
    std::string const name = program.filename().string();
    std::size_t const dash = name.find('-');
    place.program = name.substr(0, dash);
    place.variant = dash == std::string::npos ? "" : name.substr(dash + 1);
    fs::path const machine = program.parent_path();
    place.environment = machine.filename().string();
    std::string const above = machine.parent_path().filename().string();
    std::string const dataset = machine.parent_path().parent_path().filename().string();
    if (dataset != "dataset" && machine.parent_path().parent_path().parent_path().filename() == "dataset")
        place.environment = above + "/" + place.environment;
    return place;
}

RunPlace labelled_place(fs::path const& labels, fs::path const& root)
{
    LabelledRun const run = read_labels(labels);
    fs::path const folder = labels.parent_path();
    fs::path const relative = folder.lexically_relative(root);
    return {.folder = folder,
            .path = relative == "." ? folder.filename().string() : relative.generic_string(),
            .environment = run.environment,
            .program = run.family,
            .labelled = true};
}

/// The storage accesses of a recorded run, in the order in which a detector would see them.
TraceRun load_labelled(RunPlace const& place)
{
    LabelledRun const labels = read_labels(place.folder / labels_file);
    TraceRun run;
    run.place = place;
    run.has_reads = run.has_writes = true;
    run.truth = labels.truth;
    for_each_access(select_boot(place.folder / "store", labels.machine, labels.boot),
                    {.source = labels.source, .memory = false}, [&](std::span<Access const> accesses) {
                        std::ranges::copy_if(accesses, std::back_inserter(run.accesses),
                                             [](Access const& access) { return access.kind <= TraceKind::trim; });
                    });
    if (run.accesses.empty())
        throw Error{fmt::format("{}: the store has no access of disk {}", place.folder.string(), labels.source)};
    return run;
}

auto order_of(Access const& access)
{
    return std::tuple{access.time_ns, access.kind, access.address};
}

/// One file's accesses. Published files are sorted as text: by the second, and within it anyhow.
void sort_by_time(std::span<Access> accesses)
{
    auto const second_of = [](Access const& access) { return access.time_ns / 1'000'000'000; };
    for (auto begin = accesses.begin(); begin != accesses.end();) {
        auto const end = std::find_if(begin, accesses.end(),
                                      [&](Access const& access) { return second_of(access) != second_of(*begin); });
        if (!std::ranges::is_sorted(begin, end, {}, order_of))
            std::ranges::sort(begin, end, {}, order_of);
        begin = end;
    }
    if (!std::ranges::is_sorted(accesses, {}, order_of))
        std::ranges::sort(accesses, {}, order_of);
}

} // namespace

std::vector<RunPlace> find_runs(fs::path const& root)
{
    std::error_code error;
    if (!fs::is_directory(root, error))
        throw Error{fmt::format("{}: not a folder", root.string())};
    std::set<fs::path> folders;
    std::vector<RunPlace> labelled;
    // People split data sets by links. Each folder is visited once, so that links in a circle come to an end.
    std::set<fs::path> visited{fs::canonical(root)};
    auto const options =
        fs::directory_options::skip_permission_denied | fs::directory_options::follow_directory_symlink;
    for (fs::recursive_directory_iterator it{root, options}, end; it != end; ++it) {
        std::string const name = it->path().filename().string();
        if (it->is_directory()) {
            // A name with a dot: what is being recorded, or failed.
            if (name.starts_with('.') || !visited.insert(fs::canonical(it->path())).second)
                it.disable_recursion_pending();
            continue;
        }
        if (it->is_regular_file() && is_trace_file(name))
            folders.insert(it->path().parent_path());
        else if (it->is_regular_file() && name == labels_file)
            labelled.push_back(labelled_place(it->path(), root));
    }
    if (!labelled.empty()) {
        std::ranges::sort(labelled, {}, &RunPlace::path);
        return labelled;
    }
    if (folders.empty())
        throw Error{fmt::format("{}: holds no ata_*.csv, mem_*.csv or ZIP file of one", root.string())};
    std::vector<RunPlace> places;
    for (fs::path const& folder : folders)
        places.push_back(place_of(folder, root));
    std::ranges::sort(places, {}, &RunPlace::path);
    return places;
}

TraceRun load_run(RunPlace const& place, SubSecondScale scale, TraceFiles files)
{
    if (place.labelled)
        return load_labelled(place);
    TraceRun run;
    run.place = place;
    for (TraceFile const& file : trace_files) {
        if (!(is_memory(file.kind) ? files.memory : files.storage))
            continue;
        std::optional<std::string> const text = trace_text(place.folder, file.name);
        if (!text)
            continue;
        run.has_reads |= file.kind == TraceKind::read;
        run.has_writes |= file.kind == TraceKind::write;
        run.has_memory |= is_memory(file.kind);
        std::vector<Access> accesses;
        parse_trace_lines(*text, file.kind, scale, accesses, run.complaints);
        sort_by_time(accesses);
        if (run.accesses.empty()) {
            run.accesses = std::move(accesses);
            continue;
        }
        std::vector<Access> merged(run.accesses.size() + accesses.size());
        std::ranges::merge(run.accesses, accesses, merged.begin(), {}, order_of, order_of);
        run.accesses = std::move(merged);
    }
    return run;
}

} // namespace undercroft::analysis
