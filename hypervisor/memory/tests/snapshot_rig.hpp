// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A snapshot at work on the model machine, and what a collector makes of its stream.
#include <random>

#include "hypervisor/memory/snapshot.hpp"
#include "hypervisor/memory/tests/machine_model.hpp"

namespace undercroft::memory {

using model::Image;
namespace flag = wire::memory_flag;

/// What the collector makes of the stream.
struct Sweep {
    std::uint64_t number = 0;
    bool incremental = false, consistent = false, ended = false, ended_consistent = false;
    std::uint32_t said = 0; ///< pages, by its end
    Image pages;
};

class SnapshotTest : public testing::Test, protected DeviceWriteListener, protected observe::RoomMaker {
protected:
    SnapshotTest()
        : machine_{{{Gpa{0x1000}, 150 * page_bytes},
                    {Gpa{0x200000}, 1100 * page_bytes},
                    {Gpa{0x900000}, 3 * page_bytes}}},
          bits_{model::Bits{pages()}, model::Bits{pages()}, model::Bits{pages()}, model::Bits{pages()}},
          log_{machine_.index, {map(1), {map(2), map(3)}}}
    {
        log_.set_listener(this);
        options_.tick_us = 10;
    }
    std::uint64_t pages() const { return machine_.index.pages(); }
    PageBitmap map(std::size_t n) { return bits_[n].map(); }

    void make(std::size_t reserve)
    {
        reserve_.resize(reserve);
        snapshot_ = std::make_unique<Snapshot>(
            EngineParts{&machine_, &stream_, &machine_, &clock_},
            SnapshotParts{&machine_.index, &log_, &machine_, &machine_, this, map(0), reserve_}, options_);
        machine_.use(*snapshot_);
    }
    void start(std::uint16_t flags, std::uint32_t period_us, std::uint32_t rate_kib = 1U << 30)
    {
        wire::MemoryRequest request{};
        request.flags = flags;
        request.period_us = period_us;
        request.rate_kib_per_s = rate_kib;
        request.budget_permille = std::uint16_t{1000};
        ASSERT_EQ(snapshot_->judge(request), wire::ControlResult::done);
        snapshot_->start(request, clock_.tsc());
        next_tick_ = clock_.tsc();
    }
    void let_pass(std::uint64_t ns)
    {
        clock_.now += ns;
        machine_.now = clock_.now;
        if (clock_.now >= next_tick_.value)
            next_tick_ = snapshot_->tick(clock_.tsc());
    }
    /// Nothing but the sweeper runs until that many have come to their end.
    void run_until_cycles(std::uint64_t cycles)
    {
        for (int i = 0; i < 100000 && done() < cycles; ++i)
            let_pass(10'000);
        ASSERT_EQ(done(), cycles);
    }
    std::uint64_t done() const
    {
        wire::MemoryStatus status{};
        snapshot_->status(status);
        return status.cycles.get();
    }
    std::uint64_t held() const
    {
        wire::MemoryStatus status{};
        snapshot_->status(status);
        return status.held.get();
    }
    std::uint64_t random_page() { return machine_.index.page(random_() % pages()).value; }
    std::uint64_t random_hot_page()
    {
        return machine_.index.page(random_() % 2 == 0 ? random_() % 60 : random_() % pages()).value;
    }

    void before_device_write(PageRange range) override { snapshot_->on_device_write(range, 1, clock_.tsc()); }
    void make_room() override
    {
        ++room_made_;
        clock_.now += 20'000;
        if (collector_alive_)
            stream_.free += 4128;
    }

    /// Fails for a page said twice in one sweep.
    std::vector<Sweep> sweeps() const
    {
        std::vector<Sweep> all;
        for (auto const& item : stream_.items)
            read(item, all);
        return all;
    }
    static void read(model::ModelStream::Item const& item, std::vector<Sweep>& all)
    {
        wire::Record const& record = item.record;
        switch (static_cast<wire::Kind>(record.kind.get())) {
        case wire::Kind::memory_sweep_begin:
            all.emplace_back();
            all.back().number = record.address.get();
            all.back().incremental = record.length.get() == 1;
            all.back().consistent = record.source.get() == 1;
            break;
        case wire::Kind::memory_sweep_end:
            ASSERT_FALSE(all.empty());
            EXPECT_EQ(all.back().number, record.address.get());
            all.back().ended = true;
            all.back().ended_consistent = record.source.get() == 1;
            all.back().said = record.length.get();
            break;
        case wire::Kind::memory_page: {
            ASSERT_FALSE(all.empty()) << "a page before its sweep's begin";
            model::Page page{};
            bool const zero = (record.flags.get() & wire::record_flag::zero_content) != 0;
            EXPECT_EQ(item.content.size(), zero ? 0U : page_bytes);
            std::copy(item.content.begin(), item.content.end(), page.begin());
            EXPECT_TRUE(all.back().pages.emplace(record.address.get(), page).second) << "a page twice";
            break;
        }
        default:
            ADD_FAILURE() << "kind " << unsigned{record.kind.get()};
        }
    }
    static void lay_over(Image& image, Image const& later)
    {
        for (auto const& [at, page] : later)
            image[at] = page;
    }
    /// Not EXPECT_EQ: a difference would print megabytes.
    static std::size_t differing_pages(Image const& a, Image const& b)
    {
        std::size_t count = 0;
        for (auto const& [at, page] : a)
            if (auto const other = b.find(at); other == b.end() || other->second != page)
                ++count;
        return count + (b.size() > a.size() ? b.size() - a.size() : 0);
    }

    model::ModelMachine machine_;
    model::ModelClock clock_;
    model::ModelStream stream_;
    std::array<model::Bits, 4> bits_;
    DirtyLog log_;
    SnapshotOptions options_;
    std::vector<ReservedPage> reserve_;
    std::unique_ptr<Snapshot> snapshot_;
    Tsc next_tick_{};
    std::mt19937 random_{12345};
    std::uint32_t value_ = 0;
    unsigned room_made_ = 0;
    bool collector_alive_ = true;
};

} // namespace undercroft::memory
