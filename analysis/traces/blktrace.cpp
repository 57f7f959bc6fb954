// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/blktrace.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "base/le.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t most_file_bytes = std::uint64_t{8} << 30;
constexpr std::uint32_t magic = 0x65617400; ///< the low byte is the version
constexpr std::uint32_t version = 7;
constexpr std::string_view infix = ".blktrace.";
constexpr std::int64_t latest_ns = std::numeric_limits<std::int64_t>::max() / 4;

/// struct blk_io_trace of <linux/blktrace_api.h>; `pdu_bytes` more follow.
struct Event {
    Le<std::uint32_t> magic;
    Le<std::uint32_t> sequence;
    Le<std::uint64_t> time_ns; ///< since the trace's start
    Le<std::uint64_t> sector;
    Le<std::uint32_t> bytes;
    Le<std::uint32_t> action; ///< what happened, and in the upper half of what category
    Le<std::uint32_t> pid;
    Le<std::uint32_t> device;
    Le<std::uint32_t> cpu;
    Le<std::uint16_t> error;
    Le<std::uint16_t> pdu_bytes;
};
static_assert(sizeof(Event) == 48 && offsetof(Event, action) == 28);

constexpr std::uint32_t action_queue = 1;
constexpr std::uint32_t action_issue = 7;
constexpr std::uint32_t note_timestamp = 1;
constexpr std::uint32_t category_write = 1U << 17;
constexpr std::uint32_t category_flush = 1U << 18;
constexpr std::uint32_t category_notify = 1U << 26;
constexpr std::uint32_t category_discard = 1U << 29;

TraceKind kind_of(Event const& event)
{
    std::uint32_t const action = event.action.get();
    if ((action & category_discard) != 0)
        return TraceKind::trim;
    if ((action & category_flush) != 0 && event.bytes.get() == 0)
        return TraceKind::flush;
    return (action & category_write) != 0 ? TraceKind::write : TraceKind::read;
}

void take(Event const& event, std::string_view pdu, BlktraceEvents& events)
{
    std::uint32_t const action = event.action.get();
    std::uint32_t const what = action & 0xFFFF;
    auto const time_ns = static_cast<std::int64_t>(std::min<std::uint64_t>(event.time_ns.get(), latest_ns));
    if ((action & category_notify) != 0) {
        if (what != note_timestamp || pdu.size() < 8)
            return;
        struct {
            Le<std::uint32_t> seconds;
            Le<std::uint32_t> nanoseconds;
        } now;
        std::memcpy(&now, pdu.data(), sizeof(now));
        std::int64_t const utc = std::int64_t{now.seconds.get()} * 1'000'000'000 + now.nanoseconds.get();
        events.start_ns = std::max<std::int64_t>(utc - time_ns, 0);
        return;
    }
    if (what != action_issue && what != action_queue)
        return;
    TraceKind const kind = kind_of(event);
    if (kind != TraceKind::flush && event.bytes.get() == 0)
        return; // nothing was asked of the disk
    (what == action_issue ? events.issued : events.queued)
        .push_back({.time_ns = time_ns,
                    .address = kind == TraceKind::flush ? 0 : event.sector.get(),
                    .bytes = event.bytes.get(),
                    .kind = kind});
}

std::string read_whole(fs::path const& path)
{
    std::error_code error;
    std::uintmax_t const bytes = fs::file_size(path, error);
    if (error || bytes > most_file_bytes)
        throw Error{fmt::format("{}: {}", path.string(), error ? error.message() : "more than 8 GiB")};
    std::string text(bytes, '\0');
    std::ifstream in{path, std::ios::binary};
    if (!in.read(text.data(), static_cast<std::streamsize>(bytes)))
        throw Error{fmt::format("{}: cannot be read", path.string())};
    return text;
}

void check_first(fs::path const& path, std::string_view bytes)
{
    if (bytes.empty())
        return; // a CPU on which nothing happened
    Le<std::uint32_t> first{};
    std::memcpy(&first, bytes.data(), std::min(bytes.size(), sizeof(first)));
    if (first.get() == __builtin_bswap32(magic | version))
        throw Error{fmt::format("{}: written on a big-endian machine, which is not read here", path.string())};
    if ((first.get() & 0xFFFFFF00) != magic)
        throw Error{fmt::format("{}: not a trace of blktrace", path.string())};
    if ((first.get() & 0xFF) != version)
        throw Error{fmt::format("{}: blktrace's format {}, but only {} is read here", path.string(), first.get() & 0xFF,
                                version)};
}

/// "sda" of "sda.blktrace.0"; the whole name of what is called otherwise.
std::string device_of(fs::path const& path)
{
    std::string const name = path.filename().string();
    return name.substr(0, name.rfind(infix));
}

std::vector<fs::path> files_of(RunPlace const& place)
{
    if (fs::is_regular_file(place.folder))
        return {place.folder};
    std::vector<fs::path> files;
    for (fs::directory_entry const& entry : fs::directory_iterator{place.folder})
        if (entry.is_regular_file() && entry.path().filename().string().find(infix) != std::string::npos &&
            device_of(entry.path()) == place.program)
            files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

} // namespace

void parse_blktrace(std::string_view bytes, BlktraceEvents& events)
{
    while (!bytes.empty()) {
        Event event{};
        if (bytes.size() < sizeof(event))
            return events.complaints.add(Complaint::unfinished_event);
        std::memcpy(&event, bytes.data(), sizeof(event));
        if (event.magic.get() != (magic | version))
            return events.complaints.add(Complaint::damaged_event);
        bytes.remove_prefix(sizeof(event));
        if (bytes.size() < event.pdu_bytes.get())
            return events.complaints.add(Complaint::unfinished_event);
        take(event, bytes.substr(0, event.pdu_bytes.get()), events);
        bytes.remove_prefix(event.pdu_bytes.get());
    }
}

std::vector<RunPlace> find_blktraces(fs::path const& path)
{
    std::error_code none;
    auto const place = [&](fs::path const& where, std::string const& device) {
        fs::path const folder = fs::absolute(fs::is_directory(where, none) ? where : where.parent_path());
        return RunPlace{.folder = where,
                        .path = folder.lexically_normal().filename().string() + "/" + device,
                        .environment = "blktrace",
                        .program = device};
    };
    if (fs::is_regular_file(path, none))
        return {place(path, device_of(path))};
    if (!fs::is_directory(path, none))
        throw Error{fmt::format("{}: no such file or folder", path.string())};
    std::map<std::string, RunPlace> places;
    for (fs::directory_entry const& entry : fs::directory_iterator{path})
        if (entry.is_regular_file() && entry.path().filename().string().find(infix) != std::string::npos)
            places.try_emplace(device_of(entry.path()), place(path, device_of(entry.path())));
    if (places.empty())
        throw Error{fmt::format("{}: holds no DEVICE.blktrace.CPU", path.string())};
    std::vector<RunPlace> result;
    for (auto const& [device, found] : places)
        result.push_back(found);
    return result;
}

TraceRun load_blktrace(RunPlace const& place, std::int64_t start_ns)
{
    BlktraceEvents events;
    for (fs::path const& file : files_of(place)) {
        std::string const bytes = read_whole(file);
        check_first(file, bytes);
        parse_blktrace(bytes, events);
    }
    if (!events.start_ns)
        events.complaints.add(Complaint::no_start_time);
    std::int64_t const base_ns = std::min(events.start_ns.value_or(start_ns), latest_ns);
    TraceRun run;
    run.place = place;
    run.has_reads = run.has_writes = true;
    run.complaints = events.complaints;
    run.accesses = events.issued.empty() ? std::move(events.queued) : std::move(events.issued);
    for (Access& access : run.accesses)
        access.time_ns += base_ns;
    std::ranges::sort(run.accesses, {},
                      [](Access const& access) { return std::tuple{access.time_ns, access.kind, access.address}; });
    return run;
}

} // namespace undercroft::analysis
