// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/memory/image.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "wire/record.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint64_t batch_pages = 8192;

/// Stands for a page of zeros, which has no block in the store.
Hash const* zero_page()
{
    static Hash const marker{};
    return &marker;
}

} // namespace

MemoryImage::MemoryImage(Boot const& boot, Sweeps const& sweeps, SweepChain chain, ContentStore const& content)
    : content_{content}, ram_{sweeps.ram.at(sweeps.list.at(chain.last).ram)}, pages_(ram_.pages())
{
    if (ram_.pages() == 0)
        throw Error{
            fmt::format("{}: what is RAM is not recorded (memory_region rows are missing)", boot.folder.string())};
    std::uint64_t const first = sweeps.list[chain.first].begin_sequence;
    std::uint64_t const last = sweeps.list[chain.last].end_sequence;
    std::vector<RecordFile> files;
    std::ranges::copy_if(boot.memory_files, std::back_inserter(files), [&](RecordFile const& file) {
        return file.last_sequence >= first && file.first_sequence <= last;
    });
    Columns const columns{.address = true, .length = true, .flags = true, .content = true};
    scan_records(files, columns, {}, [&](RecordRow const& row) {
        if (row.sequence > last)
            return Visit::stop;
        if (row.kind == RecordKind::memory_page && row.sequence >= first)
            take(row);
        return Visit::next;
    });
}

void MemoryImage::take(RecordRow const& row)
{
    std::optional<std::uint64_t> const page = ram_.page_of(row.address);
    if (!page || row.address % page_bytes != 0 || row.length != page_bytes) {
        ++outside_;
        return;
    }
    bool const zero = (row.flags & wire::record_flag::zero_content) != 0;
    pages_[*page] = zero ? zero_page() : row.content != nullptr ? content_.find(*row.content) : nullptr;
}

std::vector<AddressRange> MemoryImage::missing() const
{
    std::vector<AddressRange> ranges;
    for (std::uint64_t page = 0; page < pages_.size(); ++page) {
        if (pages_[page] != nullptr)
            continue;
        std::uint64_t const address = ram_.address_of(page);
        if (!ranges.empty() && ranges.back().end == address)
            ranges.back().end += page_bytes;
        else
            ranges.push_back({.first = address, .end = address + page_bytes});
    }
    return ranges;
}

std::uint64_t MemoryImage::missing_pages() const
{
    return static_cast<std::uint64_t>(std::ranges::count(pages_, nullptr));
}

void MemoryImage::read(AddressRange range, std::function<void(std::span<char const>)> const& visit) const
{
    std::uint64_t const first = ram_.page_of(range.first).value();
    std::uint64_t const end = first + (range.end - range.first) / page_bytes;
    std::vector<char> bytes;
    for (std::uint64_t from = first; from < end; from += batch_pages) {
        std::uint64_t const to = std::min(from + batch_pages, end);
        HashSet wanted;
        for (std::uint64_t page = from; page < to; ++page)
            if (pages_[page] != nullptr && pages_[page] != zero_page())
                wanted.insert(*pages_[page]);
        Blocks const blocks = content_.load(wanted);
        bytes.assign((to - from) * page_bytes, 0);
        for (std::uint64_t page = from; page < to; ++page) {
            if (pages_[page] == nullptr || pages_[page] == zero_page())
                continue;
            std::string const& block = blocks.at(*pages_[page]);
            if (block.size() != page_bytes)
                throw Error{
                    fmt::format("block {} has {} bytes where a page is needed", to_hex(*pages_[page]), block.size())};
            std::ranges::copy(block, bytes.begin() + static_cast<std::ptrdiff_t>((page - from) * page_bytes));
        }
        visit(bytes);
    }
}

} // namespace undercroft::analysis
