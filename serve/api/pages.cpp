// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Pages of memory that were written in some time, as the memory monitor recorded them with entropy or bytes.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "serve/api/api.hpp"
#include "wire/record.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

constexpr std::size_t most_listed = 1000;
constexpr std::size_t most_pages = std::size_t{1} << 17; ///< told apart
constexpr std::size_t most_groups = 32;                  ///< row groups read for one list
constexpr std::int64_t time_limit_ns = std::int64_t{1} << 62;

struct Written {
    std::uint64_t writes{};
    PlainRow highest{}; ///< the first of those of highest entropy
};

/// A page whose bytes were looked at. Mode `access` records writes without doing so.
bool is_written_page(PlainRow const& row)
{
    bool const write =
        row.kind == analysis::RecordKind::memory_write || row.kind == analysis::RecordKind::memory_read_write;
    return write && (row.flags & (wire::record_flag::has_entropy | wire::record_flag::has_content |
                                  wire::record_flag::zero_content)) != 0;
}

/// Pages without entropy behind all others.
float rank(PlainRow const& row)
{
    return std::isfinite(row.entropy) ? row.entropy : -1;
}

class PageList {
public:
    void take(PlainRow const& row)
    {
        auto const page = row.address / analysis::page_bytes;
        if (pages_.size() == most_pages && !pages_.contains(page)) {
            cut_ = true;
            return;
        }
        ++writes_;
        Written& written = pages_[page];
        if (written.writes++ == 0 || rank(row) > rank(written.highest))
            written.highest = row;
    }

    [[nodiscard]] json list(std::size_t limit) const
    {
        std::vector<Written> all;
        all.reserve(pages_.size());
        for (auto const& [page, written] : pages_)
            all.push_back(written);
        auto const end = all.begin() + static_cast<std::ptrdiff_t>(std::min(limit, all.size()));
        std::ranges::partial_sort(all, end, [](Written const& a, Written const& b) {
            if (rank(a.highest) != rank(b.highest))
                return rank(a.highest) > rank(b.highest);
            return a.highest.sequence < b.highest.sequence;
        });
        json listed = json::array();
        for (auto at = all.begin(); at != end; ++at)
            listed.push_back(
                {{"address", at->highest.address / analysis::page_bytes * analysis::page_bytes},
                 {"time_ns", at->highest.time_ns},
                 {"seq", at->highest.sequence},
                 {"entropy", std::isfinite(at->highest.entropy) ? json(at->highest.entropy) : json(nullptr)},
                 {"writes", at->writes},
                 {"captured",
                  (at->highest.flags & (wire::record_flag::has_content | wire::record_flag::zero_content)) != 0}});
        return listed;
    }
    [[nodiscard]] std::size_t pages() const { return pages_.size(); }
    [[nodiscard]] std::uint64_t writes() const { return writes_; }
    [[nodiscard]] bool cut() const { return cut_; }

private:
    std::unordered_map<std::uint64_t, Written> pages_;
    std::uint64_t writes_{};
    bool cut_{};
};

} // namespace

Reply Api::pages(Target const& target) const
{
    auto const boot = boot_of(index_, target);
    std::int64_t const from = need(target, "from_ns", 0, time_limit_ns);
    std::int64_t const to = need(target, "to_ns", 0, time_limit_ns);
    auto const limit = static_cast<std::size_t>(need(target, "limit", 1, most_listed));
    PageList list;
    bool const complete = boot->memory.rows(boot->memory.view(), from, to, most_groups,
                                            [&](PlainRow const& row, analysis::BlockRun, Layer) {
                                                if (is_written_page(row))
                                                    list.take(row);
                                                return analysis::Visit::next;
                                            });
    auto const notes = boot->memory.notes();
    bool const looked = std::ranges::any_of(notes->looked, [&](LookedSpan const& span) {
        return span.kind == analysis::AccessKind::write && span.to_ns > from && span.from_ns < to;
    });
    return json_reply({{"pages", list.list(limit)},
                       {"page_count", list.pages()},
                       {"writes", list.writes()},
                       {"cut", list.cut() || !complete},
                       {"looked", looked}});
}

} // namespace undercroft::serve
