// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/live_feed.hpp"

#include <algorithm>
#include <chrono>

namespace undercroft::serve {
namespace {

constexpr std::size_t piece_rows = std::size_t{1} << 14;
constexpr std::size_t most_rows = std::size_t{3} << 20; ///< of each stream; some 150 MB
constexpr std::int64_t look_back_ns = 120'000'000'000;  ///< what may wait in the journal at the start
constexpr auto patience = std::chrono::seconds{1};      ///< between attempts to open the store
constexpr char const* problem_name = "journal";

std::int64_t utc_now_ns()
{
    return std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count();
}

} // namespace

LiveFeed::LiveFeed(StoreIndex& index) : index_{index}, thread_{[this](std::stop_token const& stop) { run(stop); }} {}

LiveFeed::~LiveFeed() = default;

void LiveFeed::record(analysis::LiveStream const& stream, analysis::RecordRow const& row)
{
    auto const [at, fresh] = streams_.try_emplace(&stream);
    Growing& growing = at->second;
    if (fresh) {
        growing.name = {.machine = stream.machine, .boot = stream.boot};
        growing.stream = stream.name;
    }
    growing.open.push_back(PlainRow::of(row));
    if (!row.request.empty())
        growing.requests[row.sequence] = row.request;
    ++growing.rows;
    growing.grown = true;
    if (growing.open.size() == piece_rows) {
        growing.pieces.push_back(std::make_shared<Rows const>(std::move(growing.open)));
        growing.open = {};
        growing.open.reserve(piece_rows);
    }
}

void LiveFeed::problem(std::string const& text)
{
    index_.set_problem(problem_name, text);
}

/// Pieces that closed files hold, and the oldest beyond the limit.
void LiveFeed::trim(Growing& growing, std::uint64_t end_sequence)
{
    std::size_t gone = 0;
    while (gone < growing.pieces.size() &&
           (growing.pieces[gone]->back().sequence < end_sequence || growing.rows > most_rows)) {
        growing.rows -= growing.pieces[gone]->size();
        ++gone;
    }
    growing.pieces.erase(growing.pieces.begin(), growing.pieces.begin() + static_cast<std::ptrdiff_t>(gone));
    if (growing.pieces.empty() && !growing.open.empty() && growing.open.back().sequence < end_sequence) {
        growing.open.clear();
        growing.rows = 0;
        growing.requests.clear();
    }
    growing.grown = growing.grown || gone != 0;
}

void LiveFeed::publish(Growing& growing)
{
    auto const boot = index_.find(growing.name);
    if (!boot) // its folder comes with the sensor's hello
        return;
    StreamIndex& stream = growing.stream == analysis::StreamName::memory ? boot->memory : boot->storage;
    bool const had_rows = growing.rows != 0;
    trim(growing, stream.view().end_sequence());
    if (!growing.grown && (growing.rows != 0 || !had_rows))
        return;
    growing.grown = false;
    auto tail = std::make_shared<Tail>();
    tail->pieces = growing.pieces;
    if (!growing.open.empty())
        tail->pieces.push_back(std::make_shared<Rows const>(growing.open));
    tail->requests = growing.requests;
    stream.publish_tail(std::move(tail));
}

void LiveFeed::run(std::stop_token const& stop)
{
    while (!stop.stop_requested()) {
        try {
            analysis::LiveTail tail{
                {.store = index_.store(), .from_ns = utc_now_ns() - look_back_ns, .machine = {}, .memory = true}};
            while (!stop.stop_requested()) {
                bool const idle = tail.poll(*this) == 0;
                for (auto& [key, growing] : streams_)
                    publish(growing);
                if (idle)
                    std::this_thread::sleep_for(analysis::LiveTail::pause);
            }
        } catch (std::exception const& error) {
            index_.set_problem(problem_name, error.what());
            streams_.clear();
            std::this_thread::sleep_for(patience);
        }
    }
}

} // namespace undercroft::serve
