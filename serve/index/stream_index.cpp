// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/stream_index.hpp"

#include <algorithm>
#include <future>
#include <utility>

namespace undercroft::serve {
using analysis::RecordKind;
namespace {

constexpr std::size_t most_changes = 64;
constexpr std::size_t most_looked = std::size_t{1} << 20;

/// Turns the notes of a stream, in its order, into spans of time.
class NoteReader {
public:
    NoteReader(StreamNotes& notes, analysis::StreamName stream) : notes_{notes}, stream_{stream} {}

    void take_gap(std::int64_t before_ns, std::int64_t at_ns, std::uint64_t lost)
    {
        std::int64_t const before = before_ns < 0 ? at_ns : before_ns;
        notes_.gaps.push_back({.from_ns = std::min(before, at_ns), .to_ns = std::max(before, at_ns), .lost = lost});
    }

    void take(analysis::RecordRow const& row, std::uint64_t length, std::int64_t before_ns)
    {
        switch (row.kind) {
        case RecordKind::gap:
            take_gap(before_ns, row.time_ns, length);
            break;
        case RecordKind::capture_off:
            if (!off_since_)
                off_since_ = row.time_ns;
            break;
        case RecordKind::capture_on:
            if (off_since_)
                notes_.off.push_back({.from_ns = *std::exchange(off_since_, std::nullopt), .to_ns = row.time_ns});
            break;
        default:
            memory_.push_back(row);
        }
    }

    void finish()
    {
        if (off_since_)
            notes_.off.push_back({.from_ns = *off_since_, .to_ns = std::numeric_limits<std::int64_t>::max()});
        if (stream_ == analysis::StreamName::memory)
            finish_memory();
    }

private:
    void finish_memory()
    {
        std::vector<analysis::AddressRange> regions;
        for (analysis::RecordRow const& row : memory_)
            if (row.kind == RecordKind::memory_region)
                regions.push_back(range_of(row));
        notes_.ram = analysis::RamMap{std::move(regions)};
        if (notes_.ram.pages() == 0)
            return;
        analysis::Coverage coverage{
            notes_.ram, [this](analysis::AccessKind kind, std::uint64_t first, std::uint64_t end, std::int64_t from_ns,
                               std::int64_t to_ns) { add_looked(kind, first, end, from_ns, to_ns); }};
        for (analysis::RecordRow const& row : memory_)
            coverage.take(row);
        coverage.finish(notes_.time.to_ns);
    }

    /// Pages are numbered without holes; the page's own map has them.
    void add_looked(analysis::AccessKind kind, std::uint64_t first, std::uint64_t end, std::int64_t from_ns,
                    std::int64_t to_ns)
    {
        std::uint64_t page = 0;
        for (analysis::AddressRange const& region : notes_.ram.regions()) {
            std::uint64_t const pages = (region.end - region.first) / analysis::page_bytes;
            std::uint64_t const from = std::max(first, page);
            std::uint64_t const to = std::min(end, page + pages);
            if (from < to) {
                std::uint64_t const base = region.first / analysis::page_bytes;
                push({.kind = kind,
                      .first_page = base + (from - page),
                      .end_page = base + (to - page),
                      .from_ns = from_ns,
                      .to_ns = to_ns});
            }
            page += pages;
        }
    }

    void push(LookedSpan const& span)
    {
        LookedSpan* const last = notes_.looked.empty() ? nullptr : &notes_.looked.back();
        if (last != nullptr && last->kind == span.kind && last->first_page == span.first_page &&
            last->end_page == span.end_page && last->to_ns == span.from_ns)
            last->to_ns = span.to_ns;
        else if (notes_.looked.size() < most_looked)
            notes_.looked.push_back(span);
        else
            notes_.looked_cut = true;
    }

    StreamNotes& notes_;
    analysis::StreamName stream_;
    std::optional<std::int64_t> off_since_;
    std::vector<analysis::RecordRow> memory_;
};

bool is_access(RecordKind kind)
{
    return kind <= RecordKind::trim || is_memory_access(kind) || kind == RecordKind::memory_page;
}

} // namespace

StreamNotes make_notes(StreamView const& view, analysis::StreamName stream)
{
    StreamNotes notes;
    NoteReader reader{notes, stream};
    std::int64_t before_ns = -1;
    std::uint64_t expected = 0;
    auto const take_time = [&](std::int64_t first_ns, std::int64_t last_ns, std::uint64_t rows) {
        notes.time.from_ns = std::min(notes.time.from_ns, first_ns);
        notes.time.to_ns = std::max(notes.time.to_ns, last_ns + 1);
        notes.rows += rows;
    };
    for (auto const& file : view.files) {
        if (file->facts.rows == 0)
            continue;
        take_time(file->facts.first_ns, file->facts.last_ns, file->facts.rows);
    }
    view.for_each_in_tail([&](PlainRow const& row) { take_time(row.time_ns, row.time_ns, 1); });
    for (auto const& file : view.files) {
        if (file->facts.rows == 0)
            continue;
        if (file->facts.first_sequence > expected)
            reader.take_gap(before_ns, file->groups.front().first_ns, file->facts.first_sequence - expected);
        for (Note const& note : file->notes)
            reader.take({.time_ns = note.time_ns,
                         .address = note.address,
                         .length = static_cast<std::uint32_t>(note.length),
                         .source = note.source,
                         .flags = note.flags,
                         .kind = note.kind,
                         .request = {file->texts.data() + note.text_first, note.text_bytes}},
                        note.length, note.before_ns < 0 ? before_ns : note.before_ns);
        expected = file->facts.end_sequence;
        before_ns = file->facts.final_ns;
    }
    // What lies between the files and the tail's first row may be in the journal, from before this program looked.
    bool joined = false;
    view.for_each_in_tail([&](PlainRow const& plain) {
        if (std::exchange(joined, true) && plain.sequence > expected)
            reader.take_gap(before_ns, plain.time_ns, plain.sequence - expected);
        if (!is_access(plain.kind)) {
            analysis::RecordRow row = plain.row();
            if (auto const request = view.tail->requests.find(row.sequence); request != view.tail->requests.end())
                row.request = request->second;
            reader.take(row, row.length, before_ns);
        }
        expected = plain.sequence + (plain.kind == RecordKind::gap ? std::max<std::uint64_t>(plain.length, 1) : 1);
        before_ns = plain.time_ns;
    });
    reader.finish();
    return notes;
}

StreamView StreamIndex::view() const
{
    std::scoped_lock const lock{mutex_};
    return view_;
}

std::shared_ptr<StreamNotes const> StreamIndex::notes() const
{
    StreamView now;
    {
        std::scoped_lock const lock{mutex_};
        if (notes_ && notes_revision_ == view_.revision)
            return notes_;
        now = view_;
    }
    auto made = std::make_shared<StreamNotes const>(make_notes(now, stream_));
    std::scoped_lock const lock{mutex_};
    notes_ = made;
    notes_revision_ = now.revision;
    return made;
}

std::uint64_t StreamView::version(std::int64_t from_ns, std::int64_t to_ns) const
{
    std::uint64_t value = 0;
    auto const mix = [&](std::uint64_t more) { value = (value ^ more) * 0x9E3779B97F4A7C15 + 1; };
    for (auto const& file : files)
        if (file->facts.last_ns >= from_ns && file->facts.first_ns < to_ns)
            mix(file->number);
    if (tail && tail->back().time_ns >= from_ns && tail->front().time_ns < to_ns)
        mix(revision);
    return value;
}

std::vector<Change> StreamIndex::changes() const
{
    std::scoped_lock const lock{mutex_};
    return {changes_.begin(), changes_.end()};
}

void StreamIndex::changed(std::int64_t from_ns)
{
    changes_.push_back({.revision = ++view_.revision, .from_ns = from_ns});
    if (changes_.size() > most_changes)
        changes_.pop_front();
}

void StreamIndex::publish(std::vector<std::shared_ptr<FileIndex const>> files, std::uint64_t waiting_files)
{
    std::scoped_lock const lock{mutex_};
    if (files == view_.files && waiting_files == view_.waiting_files)
        return;
    std::int64_t from = std::numeric_limits<std::int64_t>::max();
    auto const note_missing = [&](auto const& some, auto const& others) {
        for (auto const& file : some)
            if (std::ranges::find(others, file) == others.end())
                from = std::min(from, file->facts.first_ns);
    };
    note_missing(files, view_.files);
    note_missing(view_.files, files);
    view_.files = std::move(files);
    view_.waiting_files = waiting_files;
    changed(from);
}

void StreamIndex::publish_tail(std::shared_ptr<Tail const> tail)
{
    std::scoped_lock const lock{mutex_};
    bool const none = !tail || tail->empty();
    if (none && !view_.tail)
        return;
    std::int64_t from = none ? view_.tail->front().time_ns : tail->front().time_ns;
    if (!none && view_.tail && view_.tail->back().sequence <= tail->back().sequence)
        from = view_.tail->back().time_ns; // only more of it
    view_.tail = none ? nullptr : std::move(tail);
    changed(from);
}

bool StreamIndex::rows(StreamView const& view, std::int64_t from_ns, std::int64_t to_ns, std::size_t most_groups,
                       VisitRow const& visit) const
{
    struct Wanted {
        FileIndex const* file;
        std::size_t group;
    };
    std::vector<Wanted> wanted;
    bool complete = true;
    for (auto const& file : view.files)
        for (std::size_t i = 0; i < file->groups.size(); ++i) {
            if (file->groups[i].last_ns < from_ns || file->groups[i].first_ns >= to_ns)
                continue;
            complete = complete && wanted.size() < most_groups;
            if (complete)
                wanted.push_back({.file = file.get(), .group = i});
        }
    auto const fetch = [&](std::size_t i) {
        return std::async(std::launch::async,
                          [this, one = wanted[i]] { return cache_.get(one.file->file, static_cast<int>(one.group)); });
    };
    // The next group is decoded while this one is looked through.
    std::future<std::shared_ptr<Rows const>> next;
    if (!wanted.empty())
        next = fetch(0);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        std::shared_ptr<Rows const> const rows = next.get();
        if (i + 1 < wanted.size())
            next = fetch(i + 1);
        RowCounter counter{stream_, wanted[i].file->groups[wanted[i].group].before};
        for (PlainRow const& plain : *rows) {
            Counted const counted = counter.count(plain.row());
            if (plain.time_ns >= from_ns && plain.time_ns < to_ns &&
                visit(plain, counted.run, counted.layer) == analysis::Visit::stop)
                return true;
        }
    }
    if (!complete)
        return false;
    RowCounter counter{stream_, view.files.empty() ? RowBefore{} : view.files.back()->facts.final_row};
    bool going = true;
    view.for_each_in_tail([&](PlainRow const& plain) {
        Counted const counted = counter.count(plain.row());
        if (going && plain.time_ns >= from_ns && plain.time_ns < to_ns)
            going = visit(plain, counted.run, counted.layer) == analysis::Visit::next;
    });
    return true;
}

TileGrids StreamIndex::tile(StreamView const& view, TileShape const& shape, std::optional<std::uint16_t> source) const
{
    TileGrids grids{shape};
    auto const add = [&](PlainRow const& row, analysis::BlockRun run, Layer layer) {
        if (run.count == 0 || (source && stream_ == analysis::StreamName::storage && row.source != *source))
            return analysis::Visit::next;
        double const weight = stream_ == analysis::StreamName::memory ? 1 / static_cast<double>(run.count) : 1;
        grids.add_run(shape, layer, row.time_ns, run, weight, layer == Layer::write_known ? row.entropy : 0);
        if (row.kind == RecordKind::memory_read_write)
            grids.add_run(shape, Layer::read, row.time_ns, run, weight, 0);
        return analysis::Visit::next;
    };
    if (shape.time_shift < base_time_shift) {
        rows(view, shape.from_ns(), shape.to_ns(), std::numeric_limits<std::size_t>::max(), add);
        return grids;
    }
    for (auto const& file : view.files)
        file->add_to(grids, shape, source);
    RowCounter counter{stream_, view.files.empty() ? RowBefore{} : view.files.back()->facts.final_row};
    view.for_each_in_tail([&](PlainRow const& row) {
        Counted const counted = counter.count(row.row());
        if (row.time_ns >= shape.from_ns() && row.time_ns < shape.to_ns())
            add(row, counted.run, counted.layer);
    });
    return grids;
}

std::vector<FeatureSums> StreamIndex::features(StreamView const& view, unsigned time_shift, std::int64_t first_column,
                                               std::uint32_t columns) const
{
    std::vector<FeatureSums> sums(columns);
    auto const at = [&](std::int64_t column) -> FeatureSums* {
        return column >= first_column && column - first_column < columns
                   ? &sums[static_cast<std::size_t>(column - first_column)]
                   : nullptr;
    };
    if (time_shift < base_time_shift) {
        rows(view, first_column << time_shift, (first_column + columns) << time_shift,
             std::numeric_limits<std::size_t>::max(), [&](PlainRow const& row, analysis::BlockRun, Layer) {
                 if (auto* const sum = at(row.time_ns >> time_shift))
                     sum->add(row.row());
                 return analysis::Visit::next;
             });
        return sums;
    }
    for (auto const& file : view.files)
        for (FeatureBin const& bin : file->features)
            if (auto* const sum = at(bin.column >> (time_shift - base_time_shift)))
                sum->merge(bin.sums);
    view.for_each_in_tail([&](PlainRow const& row) {
        if (auto* const sum = at(row.time_ns >> time_shift))
            sum->add(row.row());
    });
    return sums;
}

} // namespace undercroft::serve
