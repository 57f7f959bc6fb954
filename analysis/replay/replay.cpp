// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/replay/replay.hpp"

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/replay/image.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr Columns replay_columns{.address = true, .length = true, .source = true, .content = true};

/// The stop rule: a prefix of the sequence, because only that is a state the disk was in.
bool is_past_end(RecordRow const& row, ReplayRequest const& request)
{
    return (request.until_sequence && row.sequence > *request.until_sequence) ||
           (request.until_ns && row.time_ns > *request.until_ns);
}

bool fits(RecordRow const& row, std::uint64_t image_bytes)
{
    return row.address <= image_bytes / sector_bytes && row.length <= image_bytes - row.address * sector_bytes;
}

/// Looks at every record to be replayed without touching an image.
class Check {
public:
    Check(ContentStore const& content, ReplayRequest const& request, std::uint64_t image_bytes)
        : content_{content}, request_{request}, image_bytes_{image_bytes}
    {
    }

    ReplayResult run(Boot const& boot)
    {
        // Sequence numbers are counted over all sources, so the filter by source is applied here.
        scan_records(boot, replay_columns, {}, [&](RecordRow const& row) { return visit(row); });
        return result_;
    }

    [[nodiscard]] std::uint64_t writes() const { return writes_; }

private:
    void refuse(std::uint64_t sequence, std::string const& why)
    {
        if (!request_.force)
            throw Error{fmt::format("seq {}: {}; --force goes on without", sequence, why)};
    }

    void note_lost(std::uint64_t first, std::uint64_t count)
    {
        // The part that lies after --until-seq is not needed.
        if (request_.until_sequence && first > *request_.until_sequence)
            return;
        refuse(first, fmt::format("{} records are missing from here", count));
        result_.lost_records += count;
    }

    Visit visit(RecordRow const& row)
    {
        // What is lost just before a record that is too late may have been early enough.
        if (row.sequence > expected_)
            note_lost(expected_, row.sequence - expected_);
        if (row.kind == RecordKind::gap)
            note_lost(row.sequence, row.length);
        std::uint64_t const used = row.kind == RecordKind::gap ? std::max<std::uint64_t>(row.length, 1) : 1;
        expected_ = row.sequence + used;
        if (is_past_end(row, request_))
            return Visit::stop;
        result_.last_sequence = row.sequence;
        if (row.kind == RecordKind::capture_off)
            refuse(row.sequence, "capture was switched off here: writes may be missing");
        if (request_.source && row.source != *request_.source)
            return Visit::next;
        if (row.kind == RecordKind::write || row.kind == RecordKind::trim)
            check_source(row);
        if (row.kind == RecordKind::trim)
            ++result_.trims;
        if (row.kind == RecordKind::write && row.length != 0)
            check_write(row);
        return Visit::next;
    }

    void check_source(RecordRow const& row)
    {
        if (!source_)
            source_ = row.source;
        if (*source_ != row.source)
            throw Error{fmt::format("the boot wrote to several disks; choose one: --source {}:{}, --source {}:{} ...",
                                    *source_ >> 8, *source_ & 0xFF, row.source >> 8, row.source & 0xFF)};
    }

    void check_write(RecordRow const& row)
    {
        if (row.content == nullptr) {
            refuse(row.sequence, "this write was captured without its content");
            ++result_.writes_without_content;
        } else if (!content_.contains(*row.content)) {
            refuse(row.sequence, fmt::format("the store has no content block {}", to_hex(*row.content)));
            ++result_.writes_without_content;
        } else if (!fits(row, image_bytes_)) {
            refuse(row.sequence, fmt::format("this write to LBA {} lies beyond the image ({} sectors)", row.address,
                                             image_bytes_ / sector_bytes));
            ++result_.writes_beyond_image;
        } else {
            ++writes_;
        }
    }

    ContentStore const& content_;
    ReplayRequest const& request_;
    std::uint64_t image_bytes_;
    std::uint64_t expected_{};
    std::uint64_t writes_{};
    std::optional<std::uint16_t> source_;
    ReplayResult result_;
};

void apply_trim(Image& image, RecordRow const& row)
{
    std::uint64_t const sectors = image.bytes() / sector_bytes;
    if (row.address >= sectors)
        return;
    std::uint64_t const offset = row.address * sector_bytes;
    image.zero(offset, std::min<std::uint64_t>(row.length, image.bytes() - offset));
}

void apply_write(Image& image, RecordRow const& row, std::string const& data, ReplayResult& result)
{
    if (data.size() != row.length)
        throw Error{fmt::format("seq {}: the record says {} bytes, its content block {} has {}", row.sequence,
                                row.length, to_hex(*row.content), data.size())};
    image.write(row.address * sector_bytes, data);
    ++result.writes;
    result.bytes += data.size();
}

} // namespace

ReplayResult replay(std::filesystem::path const& store, Boot const& boot, ReplayRequest const& request,
                    std::function<void(std::uint64_t, std::uint64_t)> const& progress)
{
    ContentStore const content{store};
    Check check{content, request, raw_image_bytes(request.base)};
    ReplayResult result = check.run(boot);
    Image image{request.base, request.out};
    RecordFilter filter;
    filter.source = request.source;
    scan_with_content(boot.files, replay_columns, filter, content, [&](RecordRow const& row, std::string const* data) {
        if (is_past_end(row, request))
            return Visit::stop;
        if (row.kind == RecordKind::trim && request.zero_trimmed)
            apply_trim(image, row);
        if (row.kind == RecordKind::write && data != nullptr && row.length != 0 && fits(row, image.bytes())) {
            apply_write(image, row, *data, result);
            if (result.writes % 8192 == 0)
                progress(result.writes, check.writes());
        }
        return Visit::next;
    });
    image.finish();
    return result;
}

} // namespace undercroft::analysis
