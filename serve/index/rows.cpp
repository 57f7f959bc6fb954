// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/rows.hpp"

namespace undercroft::serve {
namespace {

std::shared_ptr<Rows const> read_group(analysis::RecordFile const& file, int group)
{
    auto rows = std::make_shared<Rows>();
    analysis::Columns columns = index_columns;
    columns.page_class = file.stream == analysis::StreamName::memory;
    analysis::scan_row_groups(file, {group}, columns, [&](analysis::RecordRow const& row) {
        rows->push_back(PlainRow::of(row));
        return analysis::Visit::next;
    });
    rows->shrink_to_fit();
    return rows;
}

} // namespace

std::shared_ptr<Rows const> RowCache::get(analysis::RecordFile const& file, int group)
{
    Key const key{file.path.string(), group};
    std::unique_lock lock{mutex_};
    for (;;) {
        auto const found = slots_.find(key);
        if (found == slots_.end())
            break;
        if (found->second.rows) {
            ages_.splice(ages_.begin(), ages_, found->second.age);
            return found->second.rows;
        }
        read_.wait(lock);
    }
    slots_.emplace(key, Slot{});
    lock.unlock();
    std::shared_ptr<Rows const> rows;
    try {
        rows = read_group(file, group);
    } catch (...) {
        lock.lock();
        slots_.erase(key);
        read_.notify_all();
        throw;
    }
    lock.lock();
    ages_.push_front(key);
    slots_[key] = {.rows = rows, .age = ages_.begin()};
    bytes_ += rows->size() * sizeof(PlainRow);
    make_room();
    read_.notify_all();
    return rows;
}

void RowCache::make_room()
{
    while (bytes_ > limit_ && ages_.size() > 1) {
        auto const oldest = slots_.find(ages_.back());
        bytes_ -= oldest->second.rows->size() * sizeof(PlainRow);
        slots_.erase(oldest);
        ages_.pop_back();
    }
}

std::size_t RowCache::bytes() const
{
    std::scoped_lock const lock{mutex_};
    return bytes_;
}

} // namespace undercroft::serve
