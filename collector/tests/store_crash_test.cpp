// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Ends the process at every step that the store takes, twice in a row, and looks at what is left.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include "collector/store/store.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"
#include "collector/tests/store_reading.hpp"

namespace undercroft::collector {
namespace {

constexpr std::uint64_t slots = 5;
constexpr std::uint32_t records_per_slot = 5;
constexpr std::uint64_t gap_before_slot = 3;
constexpr std::uint64_t gap_records = 3;
constexpr int killed = 99;
constexpr int acknowledged_but_gone = 98;

std::uint64_t first_sequence(std::uint64_t slot)
{
    return slot * records_per_slot + (slot >= gap_before_slot ? gap_records : 0);
}

std::atomic<int> steps_left{-1};

void end_process_at_step(char const*)
{
    if (steps_left.fetch_sub(1) == 0)
        ::_exit(killed);
}

/// Sends what the store does not have yet, noting in `acknowledged` (shared memory of the caller's file) what was
/// durable.
int sensor_run(fs::path const& folder, fs::path const& acknowledged)
{
    Store store{{.folder = folder, .roll_rows = 2 * records_per_slot}};
    File note{acknowledged, O_RDWR | O_CREAT};
    std::uint64_t durable = 0;
    static_cast<void>(note.read_at(0, {reinterpret_cast<std::uint8_t*>(&durable), sizeof(durable)}));
    StreamPosition const position = store.resume(test::boot_a);
    if (position.next_slot < durable)
        return acknowledged_but_gone;
    for (std::uint64_t slot = position.next_slot; slot < slots; ++slot) {
        auto const bytes = test::slot_bytes(first_sequence(slot), records_per_slot);
        if (!store.append(test::boot_a,
                          {wire::Stream::storage, slot, first_sequence(slot), records_per_slot, 0, bytes}) ||
            !store.commit())
            return 1;
        std::uint64_t const next = slot + 1;
        if (::pwrite(note.fd(), &next, sizeof(next), 0) != sizeof(next))
            return 1;
        store.roll_if_due(Store::Clock::now());
        while (store.backlog() > 0)
            ::usleep(500);
    }
    return store.close() ? 0 : 1;
}

/// Exit code of a run that is ended at the given step; -1: not ended.
int run_in_child(fs::path const& folder, fs::path const& acknowledged, int end_at_step)
{
    pid_t const child = ::fork();
    if (child == 0) {
        spdlog::set_level(spdlog::level::off);
        steps_left = end_at_step;
        if (end_at_step >= 0)
            set_failpoint_hook(end_process_at_step);
        int code = 1;
        try {
            code = sensor_run(folder, acknowledged);
        } catch (std::exception const& error) {
            std::fprintf(stderr, "%s\n", error.what());
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void expect_content_of_every_row(test::StoreContents const& contents)
{
    for (auto const& [sequence, row] : contents.rows)
        if (row.content) {
            EXPECT_EQ(contents.blocks.count(*row.content), 1U) << "content of record " << sequence;
        }
}

void expect_complete(test::StoreContents const& contents)
{
    EXPECT_EQ(contents.parts, 0U);
    EXPECT_EQ(contents.segments, 0U);
    EXPECT_EQ(contents.blocks.size(), 5U); // test::slot_bytes makes five different blocks
    for (auto const& [hash, block] : contents.blocks)
        EXPECT_EQ(block, std::string(512, block.at(0)));
    EXPECT_EQ(contents.rows.size(), slots * records_per_slot + 1);
    for (std::uint64_t slot = 0; slot < slots; ++slot)
        for (std::uint64_t i = 0; i < records_per_slot; ++i) {
            std::uint64_t const sequence = first_sequence(slot) + i;
            ASSERT_EQ(contents.rows.count(sequence), 1U) << sequence;
            auto const& row = contents.rows.find(sequence)->second;
            EXPECT_EQ(row.kind, sequence % 3 == 0 ? "write" : "read");
            EXPECT_EQ(row.slot, slot);
        }
    ASSERT_EQ(contents.rows.count(gap_before_slot * records_per_slot), 1U);
    auto const& gap = contents.rows.find(gap_before_slot * records_per_slot)->second;
    EXPECT_EQ(gap.kind, "gap");
    EXPECT_EQ(gap.length, gap_records);
    EXPECT_EQ(gap.flags & flag_lost_in_transit, 0);
}

TEST(StoreCrash, EndedAtAnyStepOnceOrTwiceItIsStillExactlyOnce)
{
    int step = 0;
    for (;; ++step) {
        test::StoreFolder const folder;
        fs::path const store = folder.path() / "store";
        fs::path const acknowledged = folder.path() / "acknowledged";
        int const first = run_in_child(store, acknowledged, step);
        if (first == 0)
            break; // the run has fewer steps than that
        ASSERT_EQ(first, killed) << "step " << step;
        expect_content_of_every_row(test::read_store(store));
        if (step % 2 != 0) { // a second time, somewhere in recovery or shortly after
            int const second = run_in_child(store, acknowledged, step * 7 % 41);
            ASSERT_TRUE(second == killed || second == 0) << "step " << step << ": " << second;
        }
        ASSERT_EQ(run_in_child(store, acknowledged, -1), 0) << "step " << step;
        auto const contents = test::read_store(store);
        expect_content_of_every_row(contents);
        expect_complete(contents);
        if (HasFatalFailure() || HasNonfatalFailure())
            FAIL() << "ended at step " << step;
    }
    EXPECT_GT(step, 75) << "the failpoints are not where the store takes its steps";
}

} // namespace
} // namespace undercroft::collector
