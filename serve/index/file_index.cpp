// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/file_index.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <type_traits>

#include "analysis/memory/ram_map.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::serve {
namespace fs = std::filesystem;
using analysis::RecordKind;
namespace {

constexpr std::uint64_t magic = 0x3358444943554355; // "UCUCIDX3"
constexpr int groups_of_batch = 16;

/// At the end of the file; before it the four lists, before them the cells.
struct Trailer {
    std::uint64_t cells{};
    std::uint64_t groups{};
    std::uint64_t notes{};
    std::uint64_t features{};
    std::uint64_t planes{};
    std::uint64_t texts{};
    FileFacts facts{};
    std::uint64_t record_bytes{}; ///< of the record file
    std::uint64_t sum{};          ///< over the lists
    std::uint64_t magic_number{};
};
static_assert(std::is_trivially_copyable_v<Trailer> && std::is_trivially_copyable_v<FeatureBin>);

/// FNV-1a by words of eight bytes: notices what a power cut leaves.
std::uint64_t sum_of(std::span<std::byte const> bytes, std::uint64_t sum)
{
    for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
        std::uint64_t word{};
        std::memcpy(&word, bytes.data() + i, 8);
        sum = (sum ^ word) * 0x100000001B3;
    }
    return sum;
}

template <typename Item>
std::uint64_t sum_of_list(std::vector<Item> const& items, std::uint64_t sum)
{
    return sum_of(std::as_bytes(std::span{items}), sum);
}

std::uint64_t sum_of_lists(FileIndex const& index)
{
    return sum_of_list(
        index.texts,
        sum_of_list(index.planes,
                    sum_of_list(index.features, sum_of_list(index.notes, sum_of_list(index.groups, magic)))));
}

/// Gathers one record file.
class Builder {
public:
    Builder(FileIndex& index, RowBefore const& before, std::ofstream& out)
        : index_{index}, counter_{index.file.stream, before}, before_{before}, out_{out}
    {
    }

    void read_batch(std::vector<int> const& groups, std::function<bool()> const& stopped)
    {
        analysis::Columns columns = index_columns;
        columns.request = index_.file.stream == analysis::StreamName::memory;
        batch_first_ns_ = std::numeric_limits<std::int64_t>::max();
        batch_last_ns_ = -1;
        for (int const group : groups) {
            if (stopped())
                return;
            index_.groups.push_back({.first_ns = std::numeric_limits<std::int64_t>::max(),
                                     .last_ns = -1,
                                     .first_sequence = 0,
                                     .rows = 0,
                                     .before = before_});
            analysis::scan_row_groups(index_.file, {group}, columns, [&](analysis::RecordRow const& row) {
                take(row);
                return analysis::Visit::next;
            });
        }
        flush_features();
        planes_.finish([&](PlaneKey const& key, std::span<CellEntry const> entries) {
            index_.planes.push_back({.key = key,
                                     .batch = batch_,
                                     .first = cells_,
                                     .entries = entries.size(),
                                     .from_ns = batch_first_ns_,
                                     .to_ns = batch_last_ns_});
            out_.write(reinterpret_cast<char const*>(entries.data()),
                       static_cast<std::streamsize>(entries.size_bytes()));
            cells_ += entries.size();
        });
        ++batch_;
    }
    [[nodiscard]] std::uint64_t cells() const { return cells_; }

private:
    void take(analysis::RecordRow const& row)
    {
        RowGroup& group = index_.groups.back();
        FileFacts& facts = index_.facts;
        group.first_ns = std::min(group.first_ns, row.time_ns);
        group.last_ns = std::max(group.last_ns, row.time_ns);
        if (group.rows++ == 0)
            group.first_sequence = row.sequence;
        batch_first_ns_ = std::min(batch_first_ns_, row.time_ns);
        batch_last_ns_ = std::max(batch_last_ns_, row.time_ns);
        facts.first_ns = std::min(facts.first_ns, row.time_ns);
        facts.last_ns = std::max(facts.last_ns, row.time_ns);
        take_note(row);
        take_access(row);
        ++facts.rows;
        facts.final_ns = row.time_ns;
        facts.end_sequence = row.sequence + (row.kind == RecordKind::gap ? std::max<std::uint64_t>(row.length, 1) : 1);
        before_ = RowBefore::of(row);
        facts.final_row = before_;
    }

    void take_note(analysis::RecordRow const& row)
    {
        FileFacts& facts = index_.facts;
        if (facts.rows == 0)
            facts.first_sequence = row.sequence;
        else if (row.sequence > facts.end_sequence)
            index_.notes.push_back({.time_ns = row.time_ns,
                                    .before_ns = facts.final_ns,
                                    .address = facts.end_sequence,
                                    .length = row.sequence - facts.end_sequence,
                                    .kind = RecordKind::gap});
        bool const access =
            row.kind <= RecordKind::trim || is_memory_access(row.kind) || row.kind == RecordKind::memory_page;
        if (access)
            return;
        auto const text_first = static_cast<std::uint32_t>(index_.texts.size());
        index_.texts.insert(index_.texts.end(), row.request.begin(), row.request.end());
        index_.notes.push_back({.time_ns = row.time_ns,
                                .before_ns = facts.final_ns,
                                .address = row.address,
                                .length = row.length,
                                .text_first = text_first,
                                .text_bytes = static_cast<std::uint32_t>(row.request.size()),
                                .source = row.source,
                                .flags = row.flags,
                                .kind = row.kind});
    }

    void take_access(analysis::RecordRow const& row)
    {
        if (index_.file.stream == analysis::StreamName::storage)
            features_[row.time_ns >> base_time_shift].add(row);
        Counted const counted = counter_.count(row);
        planes_.add(counted.source, counted.layer, row.time_ns, counted.run, counted.weight,
                    counted.layer == Layer::write_known ? row.entropy : 0);
        if (counted.also_read)
            planes_.add(counted.source, Layer::read, row.time_ns, counted.run, counted.weight, 0);
    }

    void flush_features()
    {
        for (auto const& [column, sums] : features_)
            index_.features.push_back({.column = column, .sums = sums});
        features_.clear();
    }

    FileIndex& index_;
    RowCounter counter_;
    RowBefore before_;
    std::ofstream& out_;
    PlaneBuilder planes_;
    std::map<std::int64_t, FeatureSums> features_;
    std::uint64_t cells_{};
    std::uint64_t batch_{};
    std::int64_t batch_first_ns_{};
    std::int64_t batch_last_ns_{};
};

template <typename Item>
void write_list(std::ofstream& out, std::vector<Item> const& items)
{
    out.write(reinterpret_cast<char const*>(items.data()), static_cast<std::streamsize>(items.size() * sizeof(Item)));
}

void write_lists(std::ofstream& out, FileIndex const& index, std::uint64_t cells)
{
    write_list(out, index.groups);
    write_list(out, index.notes);
    write_list(out, index.features);
    write_list(out, index.planes);
    write_list(out, index.texts);
    Trailer const trailer{.cells = cells,
                          .groups = index.groups.size(),
                          .notes = index.notes.size(),
                          .features = index.features.size(),
                          .planes = index.planes.size(),
                          .texts = index.texts.size(),
                          .facts = index.facts,
                          .record_bytes = index.file.bytes,
                          .sum = sum_of_lists(index),
                          .magic_number = magic};
    out.write(reinterpret_cast<char const*>(&trailer), sizeof trailer);
}

/// Takes `count` items off the front of `bytes`; false when there are not so many.
template <typename Item>
bool take_list(std::span<std::byte const>& bytes, std::uint64_t count, std::vector<Item>& items)
{
    if (count > bytes.size() / sizeof(Item))
        return false;
    items.resize(count);
    if (count != 0)
        std::memcpy(items.data(), bytes.data(), count * sizeof(Item));
    bytes = bytes.subspan(count * sizeof(Item));
    return true;
}

bool parse(std::span<std::byte const> bytes, FileIndex& index, std::uint64_t& cells)
{
    Trailer trailer;
    if (bytes.size() < sizeof trailer)
        return false;
    std::memcpy(&trailer, bytes.data() + bytes.size() - sizeof trailer, sizeof trailer);
    bytes = bytes.first(bytes.size() - sizeof trailer);
    if (trailer.magic_number != magic || trailer.record_bytes != index.file.bytes ||
        trailer.cells > bytes.size() / sizeof(CellEntry))
        return false;
    cells = trailer.cells;
    bytes = bytes.subspan(cells * sizeof(CellEntry));
    if (!take_list(bytes, trailer.groups, index.groups) || !take_list(bytes, trailer.notes, index.notes) ||
        !take_list(bytes, trailer.features, index.features) || !take_list(bytes, trailer.planes, index.planes) ||
        !take_list(bytes, trailer.texts, index.texts) || !bytes.empty() || sum_of_lists(index) != trailer.sum)
        return false;
    index.facts = trailer.facts;
    bool const texts_fit = std::ranges::all_of(index.notes, [&](Note const& note) {
        return note.text_first <= index.texts.size() && note.text_bytes <= index.texts.size() - note.text_first;
    });
    return texts_fit && std::ranges::all_of(index.planes, [&](PlaneEntry const& plane) {
               return plane.first <= cells && plane.entries <= cells - plane.first &&
                      plane.key.layer <= Layer::execute && plane.key.time_shift >= base_time_shift &&
                      plane.key.time_shift <= largest_time_shift && plane.key.block_shift >= base_block_shift &&
                      plane.key.block_shift <= largest_block_shift;
           });
}

} // namespace

Counted RowCounter::count(analysis::RecordRow const& row)
{
    Layer const write = std::isfinite(row.entropy) ? Layer::write_known : Layer::write_unknown;
    if (stream_ == analysis::StreamName::storage)
        return {.run = blocks_.count(row),
                .weight = 1,
                .layer = row.kind == RecordKind::read ? Layer::read : write,
                .source = row.source,
                .also_read = false};
    if (!is_memory_access(row.kind))
        return {};
    std::uint64_t const bytes = std::max<std::uint64_t>(row.length, 1);
    std::uint64_t const pages = (bytes + analysis::page_bytes - 1) / analysis::page_bytes;
    Counted counted{.run = {.first = (row.address - row.address % bytes) / analysis::page_bytes, .count = pages},
                    .weight = 1 / static_cast<float>(pages)};
    if (pages == 1)
        counted.run.first = row.address / analysis::page_bytes;
    counted.layer = row.kind == RecordKind::memory_read      ? Layer::read
                    : row.kind == RecordKind::memory_execute ? Layer::execute
                                                             : write;
    counted.also_read = row.kind == RecordKind::memory_read_write;
    return counted;
}

FileIndex::~FileIndex()
{
    if (mapping_ != nullptr)
        ::munmap(mapping_, mapped_bytes_);
}

std::shared_ptr<FileIndex> FileIndex::load(fs::path const& path, analysis::RecordFile const& file)
{
    int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nullptr;
    auto index = std::make_shared<FileIndex>();
    index->file = file;
    struct stat status{};
    if (::fstat(fd, &status) == 0 && status.st_size > 0) {
        auto const bytes = static_cast<std::size_t>(status.st_size);
        void* const mapping = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (mapping != MAP_FAILED) {
            index->mapping_ = mapping;
            index->mapped_bytes_ = bytes;
        }
    }
    ::close(fd);
    std::uint64_t cells = 0;
    if (index->mapping_ == nullptr ||
        !parse({static_cast<std::byte const*>(index->mapping_), index->mapped_bytes_}, *index, cells))
        return nullptr;
    static std::atomic<std::uint64_t> opened{};
    index->number = ++opened;
    index->cells_ = {static_cast<CellEntry const*>(index->mapping_), cells};
    return index;
}

std::shared_ptr<FileIndex> FileIndex::build(fs::path const& path, analysis::RecordFile const& file,
                                            RowBefore const& before, std::function<bool()> const& stopped)
{
    FileIndex made;
    made.file = file;
    fs::create_directories(path.parent_path());
    fs::path const part = path.string() + ".part";
    {
        std::ofstream out{part, std::ios::binary | std::ios::trunc};
        Builder builder{made, before, out};
        int const groups = analysis::count_row_groups(file);
        for (int group = 0; group < groups; group += groups_of_batch) {
            std::vector<int> batch;
            for (int i = group; i < std::min(groups, group + groups_of_batch); ++i)
                batch.push_back(i);
            builder.read_batch(batch, stopped);
            if (stopped()) {
                out.close();
                fs::remove(part);
                return nullptr;
            }
        }
        write_lists(out, made, builder.cells());
        out.flush();
        if (!out) {
            std::error_code ignored;
            fs::remove(part, ignored);
            throw analysis::Error{part.string() + ": cannot be written"};
        }
    }
    fs::rename(part, path);
    auto index = load(path, file);
    if (!index)
        throw analysis::Error{path.string() + ": what was just written cannot be read"};
    return index;
}

void FileIndex::add_to(TileGrids& grids, TileShape const& shape, std::optional<std::uint16_t> source) const
{
    // Of each batch, window, source and layer the plane with the fewest entries that is fine enough. Its planes follow
    // one another.
    auto const group_of = [](PlaneEntry const& plane) {
        return std::tuple{plane.batch, plane.key.window, plane.key.source, plane.key.layer};
    };
    PlaneEntry const* best = nullptr;
    auto const take_best = [&] {
        if (best != nullptr)
            add_plane(grids, shape, best->key, entries(*best));
        best = nullptr;
    };
    for (PlaneEntry const& plane : planes) {
        if (best != nullptr && group_of(*best) != group_of(plane))
            take_best();
        if (plane.to_ns < shape.from_ns() || plane.from_ns >= shape.to_ns() ||
            (source && plane.key.source != *source) || plane.key.time_shift > shape.time_shift ||
            plane.key.block_shift > shape.block_shift)
            continue;
        if (best == nullptr || plane.entries < best->entries)
            best = &plane;
    }
    take_best();
}

} // namespace undercroft::serve
