// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/observe/observer.hpp"

#include <algorithm>

namespace undercroft::observe {
namespace {

/// Longest piece of a read or trim: a whole number of 512-byte sectors (and of 4,096-byte ones) below 4 GiB.
constexpr std::uint64_t max_record_bytes = 0xfffff000;
constexpr std::uint64_t sector = 512;

static_assert(max_entropy_bytes == wire::content_block_bytes);

} // namespace

struct Observer::Request {
    std::uint64_t time_utc_ns;
    std::uint16_t source;
    std::uint16_t flags; ///< of every record
    bool first = true;
};

/// Hands out a command's data in consecutive pieces, each byte of guest memory once.
class Observer::Pages {
public:
    Pages(core::GuestMemory const& memory, ExtentSource& source) : memory_{&memory}, source_{&source} {}

    /// The next `bytes` bytes, null when some are not in guest RAM: in place when they lie together and no copy is
    /// asked for, else in `scratch`.
    std::byte const* take(std::size_t bytes, bool copy, std::span<std::byte> scratch)
    {
        if (!copy && refill() && extent_.bytes >= bytes) {
            std::byte const* const block =
                extent_.captured != nullptr ? extent_.captured : memory_->view(extent_.address, bytes);
            advance(bytes);
            return block;
        }
        bool readable = true;
        for (std::size_t have = 0; have < bytes;) {
            if (!refill())
                return nullptr;
            std::size_t const n = std::min<std::uint64_t>(extent_.bytes, bytes - have);
            if (extent_.captured != nullptr)
                __builtin_memcpy(scratch.data() + have, extent_.captured, n);
            else
                readable = readable && memory_->read(extent_.address, scratch.subspan(have, n));
            advance(n);
            have += n;
        }
        return readable ? scratch.data() : nullptr;
    }

private:
    bool refill() { return extent_.bytes != 0 || source_->next(extent_); }
    void advance(std::size_t bytes)
    {
        extent_.address = extent_.address + bytes;
        if (extent_.captured != nullptr)
            extent_.captured += bytes;
        extent_.bytes -= bytes;
    }

    core::GuestMemory const* memory_;
    ExtentSource* source_;
    Extent extent_{};
};

void Observer::observe(DiskCommand const& command, ExtentSource& data)
{
    sink_->begin_request(); // first, so that time does not go back from one request to the next
    Request request{clock_->utc(clock_->tsc()).value, command.source, command.flags};
    if (!clock_->synchronised())
        request.flags |= wire::record_flag::time_unsynchronised;
    if (command.kind == wire::Kind::storage_write && command.bytes != 0) {
        Pages pages{*memory_, data};
        write_blocks(request, command, pages);
    } else {
        one_range(request, command);
    }
    sink_->end_request();
}

void Observer::write_blocks(Request& request, DiskCommand const& command, Pages& pages)
{
    bool const content = mode_.load(std::memory_order_relaxed) == core::CaptureMode::content;
    std::uint64_t unreadable = 0;
    for (std::uint64_t done = 0; done < command.bytes;) {
        std::size_t const n = std::min<std::uint64_t>(command.bytes - done, wire::content_block_bytes);
        std::byte const* const block = pages.take(n, content, scratch_);
        wire::Record record;
        record.address = command.lba.value + done / sector;
        record.length = static_cast<std::uint32_t>(n);
        record.kind = static_cast<std::uint8_t>(command.kind);
        std::uint16_t flags = wire::record_flag::content_unreadable;
        if (block != nullptr) {
            flags = wire::record_flag::has_entropy;
            record.entropy = memo_.entropy(block, n);
            if (content) {
                flags |= wire::record_flag::has_content;
                record.content_bytes = static_cast<std::uint32_t>(n);
            }
        } else {
            ++unreadable;
        }
        record.flags = flags;
        done += n;
        put(request, record, done == command.bytes, content ? block : nullptr);
    }
    if (unreadable != 0)
        counters_->add(wire::CounterId::ahci_blocks_unreadable, unreadable);
}

void Observer::one_range(Request& request, DiskCommand const& command)
{
    std::uint64_t done = 0;
    do {
        std::uint64_t const n = std::min(command.bytes - done, max_record_bytes);
        wire::Record record;
        record.address = command.lba.value + done / sector;
        record.length = static_cast<std::uint32_t>(n);
        record.kind = static_cast<std::uint8_t>(command.kind);
        done += n;
        put(request, record, done == command.bytes, nullptr);
    } while (done < command.bytes);
}

void Observer::mark_capture(bool on)
{
    counters_->add(on ? wire::CounterId::capture_switched_on : wire::CounterId::capture_switched_off);
    sink_->begin_request();
    Request request{clock_->utc(clock_->tsc()).value, 0, 0};
    if (!clock_->synchronised())
        request.flags |= wire::record_flag::time_unsynchronised;
    wire::Record record;
    record.kind = static_cast<std::uint8_t>(on ? wire::Kind::capture_on : wire::Kind::capture_off);
    put(request, record, true, nullptr);
    sink_->end_request();
}

void Observer::put(Request& request, wire::Record& record, bool last, std::byte const* content)
{
    auto flags = static_cast<std::uint16_t>(record.flags.get() | request.flags);
    if (request.first)
        flags |= wire::record_flag::first_of_request;
    if (last)
        flags |= wire::record_flag::last_of_request;
    request.first = false;
    record.flags = flags;
    record.time_utc_ns = request.time_utc_ns;
    record.source = request.source;
    static_cast<void>(sink_->append(record, content)); // a refused record is counted by the sink
}

void Observer::describe(std::uint16_t source, std::uint16_t logical_sector_bytes, std::uint64_t capacity_512,
                        char const (&model)[40], char const (&serial)[20])
{
    core::SpinGuard const guard{disks_lock_};
    unsigned i = 0;
    while (i < disk_count_ && disks_[i].source.get() != source)
        ++i;
    if (i == disks_.size())
        return;
    disk_count_ = std::max(disk_count_, i + 1);
    wire::DiskInfo& disk = disks_[i];
    disk.source = source;
    disk.logical_sector_bytes = logical_sector_bytes;
    disk.capacity_512 = capacity_512;
    __builtin_memcpy(disk.model, model, sizeof(model));
    __builtin_memset(disk.serial, 0, sizeof(disk.serial));
    __builtin_memcpy(disk.serial, serial, sizeof(serial));
}

unsigned Observer::disks(std::span<wire::DiskInfo> into)
{
    core::SpinGuard const guard{disks_lock_};
    auto const n = static_cast<unsigned>(std::min<std::size_t>(disk_count_, into.size()));
    std::copy_n(disks_.begin(), n, into.begin());
    return n;
}

} // namespace undercroft::observe
