// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Small record files of one day become one. The merged file appears first, then the small ones go: after a crash in
// between, files whose range lies within another's are recognised by their names and deleted.
#include <algorithm>

#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>

#include "collector/store/upkeep.hpp"

namespace undercroft::collector {
namespace {

constexpr std::int64_t row_group_rows = std::int64_t{256} * 1024;

std::vector<FileRange> files_of(fs::path const& folder)
{
    std::vector<FileRange> files;
    for (auto const& entry : fs::directory_iterator{folder})
        if (auto const range = range_of(entry.path().filename()))
            files.push_back(*range);
    std::ranges::sort(files, [](FileRange const& a, FileRange const& b) {
        return a.first != b.first ? a.first < b.first : a.last > b.last;
    });
    return files;
}

/// Collects rows until a row group is full.
class RowGroups {
public:
    RowGroups(fs::path part, std::shared_ptr<arrow::Schema> schema)
        : path_{part}, file_{std::move(part), schema, record_properties()}
    {
    }
    void add(std::shared_ptr<arrow::RecordBatch> batch)
    {
        rows_ += batch->num_rows();
        batches_.push_back(std::move(batch));
        if (rows_ >= row_group_rows)
            flush();
    }
    void publish(fs::path const& final_path)
    {
        if (rows_ > 0)
            flush();
        file_.publish(final_path);
    }

private:
    void flush()
    {
        auto const table = arrow::Table::FromRecordBatches(batches_);
        check(table.status(), path_);
        auto const whole = (*table)->CombineChunks();
        check(whole.status(), path_);
        file_.write(**whole);
        batches_.clear();
        rows_ = 0;
    }

    fs::path path_;
    ParquetFile file_;
    std::int64_t rows_ = 0;
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches_;
};

/// Calls `take` with the schema first and an empty batch, then with each batch.
template <typename Take>
void read_batches(fs::path const& path, Take const& take)
{
    auto const input = arrow::io::ReadableFile::Open(path.string());
    check(input.status(), path);
    auto const reader = parquet::arrow::OpenFile(*input, arrow::default_memory_pool());
    check(reader.status(), path);
    auto const batches = (*reader)->GetRecordBatchReader();
    check(batches.status(), path);
    for (;;) {
        std::shared_ptr<arrow::RecordBatch> batch;
        check((*batches)->ReadNext(&batch), path);
        if (!batch)
            return;
        take(std::move(batch));
    }
}

} // namespace

void Upkeep::compact_folder(fs::path const& date_folder)
{
    auto files = files_of(date_folder);
    drop_replaced(date_folder, files);
    std::vector<FileRange> group;
    std::uint64_t bytes = 0;
    auto const close_group = [&] {
        if (group.size() >= options_.files_to_merge)
            merge(date_folder, group);
        group.clear();
        bytes = 0;
    };
    for (FileRange const& file : files) {
        fs::path const path = date_folder / file_name(file);
        std::uint64_t const size = fs::file_size(path);
        bool const neighbour = group.empty() || group.back().last + 1 == file.first;
        bool const fits = size < options_.small_file_bytes && bytes + size <= options_.merged_file_bytes;
        if (!neighbour || !fits || !may_delete(path))
            close_group();
        if (size < options_.small_file_bytes && may_delete(path)) {
            group.push_back(file);
            bytes += size;
        }
    }
    close_group();
}

/// Sorted by first number and, when equal, longer ones first: what is contained follows what contains it.
void Upkeep::drop_replaced(fs::path const& folder, std::vector<FileRange>& files)
{
    std::vector<FileRange> kept;
    for (FileRange const& file : files) {
        if (kept.empty() || !kept.back().contains(file)) {
            kept.push_back(file);
            continue;
        }
        auto const guard = keep_files();
        remove_durably(folder / file_name(file));
        ++totals_.files_compacted;
    }
    files = std::move(kept);
}

void Upkeep::merge(fs::path const& folder, std::vector<FileRange> const& files)
{
    FileRange const range{files.front().first, files.back().last};
    fs::path const merged = folder / file_name(range);
    fs::file_time_type written = fs::file_time_type::min();
    std::unique_ptr<RowGroups> out;
    for (FileRange const& file : files) {
        fs::path const path = folder / file_name(file);
        written = std::max(written, fs::last_write_time(path));
        read_batches(path, [&](std::shared_ptr<arrow::RecordBatch> batch) {
            if (!out)
                out =
                    std::make_unique<RowGroups>(fs::path{merged.string() + std::string{part_suffix}}, batch->schema());
            out->add(std::move(batch));
        });
    }
    if (!out)
        return;
    auto const guard = keep_files();
    out->publish(merged);
    fs::last_write_time(merged, written); // retention counts from when the rows came
    std::vector<std::string> old;
    for (FileRange const& file : files)
        old.push_back(relative(folder / file_name(file)));
    if (observer_ != nullptr) {
        observer_->on_closed(relative(merged), fs::file_size(merged), ClosedKind::records);
        observer_->on_replaced(old, relative(merged));
    }
    for (FileRange const& file : files)
        remove_durably(folder / file_name(file));
    totals_.files_compacted += files.size();
}

} // namespace undercroft::collector
