// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One scan: bits are read and cleared region by region, then one flush for all of them.
//
// Until the flush a CPU may use a translation that it has cached, and sets no bit for it. Such a page is not missed:
// it can only be cached because it was accessed since the flush before, so its bit was set and is in this scan's
// records. A scan that finds nothing needs no flush for the same reason.
#include <algorithm>

#include "hypervisor/memory/watch.hpp"

namespace undercroft::memory {
namespace {

constexpr std::uint64_t fine_slice_bytes = 2 * huge_page_bytes;
constexpr std::uint64_t coarse_slice_bytes = 256 * huge_page_bytes;
constexpr std::uint64_t longest_run_bytes = 1ULL << 30;

std::uint64_t piece_of(std::uint64_t gpa)
{
    return gpa / huge_page_bytes;
}

} // namespace

class Watch::Look final : public AccessVisitor {
public:
    Look(Watch& watch, Tsc now) : watch_{&watch}, now_{now} {}
    void visit(Gpa first, std::uint32_t count, PageSize size, AccessBits bits) override
    {
        watch_->found(first, count, size, bits, now_);
    }

private:
    Watch* watch_;
    Tsc now_;
};

void Watch::begin_scan(Tsc now)
{
    ++scan_;
    phase_ = Phase::scanning;
    scan_begun_ = now;
    cursor_ = next_piece_ = 0;
    look_ = {};
    cost_ = found_ = 0;
    scanned_count_ = 0;
}

/// The first region at or behind the cursor that is due, or that the cursor is in.
std::size_t Watch::next_region() const
{
    auto const all = regions_.all();
    for (std::size_t at = 0; at < all.size(); ++at) {
        bool const entered = cursor_ > all[at].range.begin.value;
        if (all[at].range.end() > cursor_ && (entered || all[at].due <= scan_))
            return at;
    }
    return WatchRegions::none;
}

/// In the worst case each page is a run of its own.
bool Watch::has_room_for(std::uint64_t pages) const
{
    return engine_.stream->room() >= (pages + 1) * sizeof(wire::Record);
}

bool Watch::scan_slice(Tsc now)
{
    std::size_t const at = next_region();
    if (at == WatchRegions::none)
        return false;
    WatchRegion const& region = regions_.all()[at];
    std::uint64_t const begin = std::max(cursor_, region.range.begin.value);
    std::uint64_t const most = region.fine ? fine_slice_bytes : coarse_slice_bytes;
    std::uint64_t const end = std::min(region.range.end(), (begin / most + 1) * most);
    if (!has_room_for((end - begin) / (region.fine ? page_bytes : huge_page_bytes))) {
        // Bits stay as they are: what was accessed is found later, only not said to have been looked for now.
        return false;
    }
    Look look{*this, now};
    engine_.view->take_access_bits({Gpa{begin}, end - begin}, look);
    put_run(now); // before the guest goes on
    cursor_ = end;
    if (end == region.range.end())
        end_region(at);
    return true;
}

void Watch::found(Gpa first, std::uint32_t count, PageSize size, AccessBits bits, Tsc now)
{
    found_ += count;
    pages_ += count;
    learn_piece(first);
    bool const goes_on = run_.range.bytes != 0 && run_.range.end() == first.value && run_.size == size &&
                         run_.written == bits.dirty && run_.range.bytes < longest_run_bytes;
    if (!goes_on) {
        put_run(now);
        run_ = {{first, 0}, size, bits.dirty};
    }
    run_.range.bytes += count * bytes_of(size);
    if (bits.dirty && size == PageSize::small)
        capture_.consider(first, count);
}

/// Pages come in rising order.
void Watch::learn_piece(Gpa page)
{
    std::uint64_t const piece = piece_of(page.value);
    if (piece < next_piece_)
        return;
    bool const follows =
        look_.accessed != 0 && piece == next_piece_ && look_.first_run.end() == piece * huge_page_bytes;
    if (look_.accessed == 0)
        look_.first_run = {Gpa{piece * huge_page_bytes}, huge_page_bytes};
    else if (follows)
        look_.first_run.bytes += huge_page_bytes;
    ++look_.accessed;
    next_piece_ = piece + 1;
}

void Watch::put_run(Tsc now)
{
    if (run_.range.bytes == 0)
        return;
    wire::Record record{};
    record.address = run_.range.begin.value;
    record.length = static_cast<std::uint32_t>(run_.range.bytes);
    record.kind = static_cast<std::uint8_t>(run_.written ? wire::Kind::memory_write : wire::Kind::memory_read);
    record.page_class = static_cast<std::uint8_t>(run_.size);
    record.flags = wire::record_flag::by_scan;
    ++records_;
    if (!engine_.stream->put(record, nullptr, now))
        ++dropped_;
    run_ = {};
}

void Watch::end_region(std::size_t at)
{
    note_scanned(regions_.all()[at]);
    // Where usable memory ends inside of a piece, the run does, too.
    PageRange const range = regions_.all()[at].range;
    std::uint64_t const begin = std::max(look_.first_run.begin.value, range.begin.value);
    std::uint64_t const end = std::min(look_.first_run.end(), range.end());
    look_.first_run = {Gpa{begin}, look_.accessed == 0 ? 0 : end - begin};
    regions_.learn(at, look_, scan_, cooling());
    look_ = {};
}

/// What was not used for some half a second is not in use; but each scan may miss it a few times.
std::uint32_t Watch::cooling() const
{
    constexpr std::uint64_t forgotten_after_ms = 500, least = 1024 / 256, most = 1024 / 4;
    std::uint64_t const since_last = period_ * 1024;
    return static_cast<std::uint32_t>(
        std::clamp(since_last / (engine_.clock->tsc_hz() / 1000 * forgotten_after_ms), least, most));
}

void Watch::note_scanned(WatchRegion const& region)
{
    if (scanned_count_ != 0) {
        Scanned& last = scanned_[scanned_count_ - 1];
        if (last.range.end() == region.range.begin.value && last.fine == region.fine) {
            last.range.bytes += region.range.bytes;
            return;
        }
    }
    if (scanned_count_ < scanned_.size()) // regions only become more by splits of what is looked at already
        scanned_[scanned_count_++] = {region.range, region.fine};
}

void Watch::end_scan(Tsc now)
{
    capture_.expire(now);
    bool const took_rights = capture_.arm_candidates(now);
    bool const changed_sizes = time_to_adapt() && adapt(now);
    if (found_ != 0 || took_rights || changed_sizes) {
        engine_.view->flush_all();
        cost_ += std::max<std::uint64_t>(options_.flush_ticks, exit_ticks()) * options_.cpus +
                 options_.refill_ticks * found_;
    }
    say_scanned(engine_.clock->tsc());
}

void Watch::change_size(WatchRegion const& region, Tsc now)
{
    if (!region.fine) {
        capture_.release(region.range, now);
        engine_.view->restore(region.range);
    }
    // The new entries' bits know nothing of what happened since this scan's look.
    Look last{*this, now};
    engine_.view->take_access_bits(region.range, last);
    put_run(now);
    engine_.view->arm(region.range, paging::rights_all, region.fine ? PageSize::small : PageSize::huge);
}

/// After the flush: the next look sees what happens from here on.
void Watch::say_scanned(Tsc now)
{
    for (Scanned const& scanned : std::span{scanned_.data(), scanned_count_}) {
        put_range(*engine_.stream, wire::Kind::memory_scanned, static_cast<std::uint16_t>(wire::MemoryMode::watch),
                  scanned.range, now, scanned.fine ? wire::PageClass::page_4k : wire::PageClass::page_2m);
        ++records_;
    }
}

} // namespace undercroft::memory
