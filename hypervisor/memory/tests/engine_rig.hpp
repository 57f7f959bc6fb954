// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A monitor with real tables beneath it, a guest's CPUs that access memory through these, and a stream that remembers.
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "hypervisor/memory/monitor.hpp"
#include "hypervisor/memory/tests/view_rig.hpp"

namespace undercroft::memory::testing {

struct ManualClock final : core::Clock {
    [[nodiscard]] Tsc tsc() const override { return now; }
    [[nodiscard]] std::uint64_t tsc_hz() const override { return 1'000'000'000; }
    [[nodiscard]] UtcNs utc(Tsc at) const override { return UtcNs{1000 + at.value}; }
    [[nodiscard]] bool synchronised() const override { return true; }
    Tsc now{1'000'000};
};

struct Remembered {
    wire::Record record;
    std::vector<std::byte> content;
    [[nodiscard]] wire::Kind kind() const { return static_cast<wire::Kind>(record.kind.get()); }
};

struct RememberingStream final : MemoryStream {
    bool put(wire::Record record, std::byte const* content, Tsc at) override
    {
        if (full && record.kind.get() < 48)
            return false;
        record.time_utc_ns = 1000 + at.value;
        Remembered one{record, {}};
        if (content != nullptr)
            one.content.assign(content, content + record.length.get());
        records.push_back(one);
        return true;
    }
    [[nodiscard]] std::uint64_t room() const override { return full ? 0 : 1 << 20; }
    [[nodiscard]] std::uint64_t capacity() const override { return 1 << 20; }
    [[nodiscard]] std::uint16_t entropy(std::byte const*) override { return 321; }
    /// Accesses only, without the sensor's own words.
    [[nodiscard]] std::vector<Remembered> accesses() const
    {
        std::vector<Remembered> result;
        for (Remembered const& one : records)
            if (one.record.kind.get() < 48)
                result.push_back(one);
        return result;
    }
    bool full = false;
    std::vector<Remembered> records;
};

/// Bytes of some pages; all others read as zero.
struct PagesOfRam final : core::GuestMemory {
    [[nodiscard]] bool read(Gpa from, std::span<std::byte> into) const override
    {
        auto const page = pages.find(from.value);
        if (page == pages.end())
            std::memset(into.data(), 0, into.size());
        else
            std::memcpy(into.data(), page->second.data(), into.size());
        return from.value < 4 * gib;
    }
    [[nodiscard]] bool write(Gpa, std::span<std::byte const>) override { return false; }
    [[nodiscard]] std::byte const* view(Gpa, std::size_t) const override { return nullptr; }
    [[nodiscard]] bool touches_sensor(Gpa, std::uint64_t) const override { return false; }
    std::map<std::uint64_t, std::array<std::byte, 4096>> pages;
};

struct RememberingSwitch final : ViewSwitch {
    void use(ViewUse wanted) override { uses.push_back(wanted); }
    std::vector<ViewUse> uses;
};

/// For tests and fuzzers alike.
inline void require(bool holds)
{
    if (!holds)
        std::abort();
}

/// Guest accesses: a walk of the tables, the fault when they forbid it, and again.
template <typename Format>
class EngineRig {
public:
    EngineRig() { require(rig.built); }

    [[nodiscard]] EngineParts parts()
    {
        return {.view = &rig.view, .stream = &stream, .memory = &ram, .clock = &clock};
    }
    /// One try at an access. True: the tables allow it; for a write, the bytes then change.
    bool attempt(std::uint64_t gpa, paging::Permissions access, std::uint16_t cpu = 0, bool by_page_walk = false)
    {
        Translation const found = Walker<Format>::walk(rig.root(), gpa, access);
        if (found.present && found.rights.includes(access)) {
            if (access.write)
                ram.pages[gpa & ~4095ULL][gpa & 4095] = static_cast<std::byte>(++written);
            return true;
        }
        ++faults;
        monitor.note_exit(cpu, positions[cpu]);
        require(monitor.fault({.gpa = Gpa{gpa},
                               .read = !access.write && !access.execute,
                               .write = access.write,
                               .fetch = access.execute,
                               .by_page_walk = by_page_walk,
                               .cpu = cpu,
                               .now = clock.now}));
        return false;
    }
    /// The whole instruction; afterwards the CPU stands elsewhere.
    void access(std::uint64_t gpa, paging::Permissions access, std::uint16_t cpu = 0)
    {
        for (int tries = 0; !attempt(gpa, access, cpu); ++tries)
            require(tries < 3); // the guest gets on
        ++positions[cpu];
        exit(cpu); // sooner or later
    }
    void read(std::uint64_t gpa, std::uint16_t cpu = 0) { access(gpa, paging::rights_read, cpu); }
    void write(std::uint64_t gpa, std::uint16_t cpu = 0) { access(gpa, paging::rights_read_write, cpu); }
    void execute(std::uint64_t gpa, std::uint16_t cpu = 0) { access(gpa, {false, false, true}, cpu); }
    /// A CPU leaves the guest for some other reason.
    void exit(std::uint16_t cpu) { monitor.note_exit(cpu, positions[cpu]); }
    void pass_ms(std::uint64_t ms)
    {
        clock.now.value += ms * 1'000'000;
        monitor.tick(clock.now);
    }
    wire::ControlResult request(wire::MemoryMode mode, wire::MemoryAction action, auto&& set)
    {
        wire::MemoryRequest request{};
        request.mode = static_cast<std::uint16_t>(mode);
        request.action = static_cast<std::uint16_t>(action);
        set(request);
        return monitor.request(request);
    }
    wire::ControlResult start(wire::MemoryMode mode)
    {
        return request(mode, wire::MemoryAction::start, [](auto&) {});
    }
    wire::MemoryStatus status(wire::MemoryMode mode)
    {
        std::array<wire::MemoryStatus, wire::memory_modes> all;
        monitor.status(all);
        return all[static_cast<std::size_t>(mode) - 1];
    }

    /// A shootdown makes every CPU exit, wherever it stands.
    struct ExitingShootdown final : NoShootdown {
        explicit ExitingShootdown(EngineRig& owner) : rig{&owner} {}
        void request_flush() override
        {
            NoShootdown::request_flush();
            for (std::uint16_t cpu = 0; cpu < rig->positions.size(); ++cpu)
                rig->exit(cpu);
        }
        EngineRig* rig;
    };

    ManualClock clock;
    ExitingShootdown shootdown{*this};
    ViewRig<Format> rig{shootdown};
    RememberingStream stream;
    PagesOfRam ram;
    RememberingSwitch view_switch;
    core::Counters counters;
    Monitor monitor{{.view = &rig.view,
                     .stream = &stream,
                     .view_switch = &view_switch,
                     .clock = &clock,
                     .counters = &counters,
                     .missing = 0}};
    std::array<std::uint64_t, 4> positions{100, 200, 300, 400};
    unsigned faults = 0;
    std::uint8_t written = 0;
};

} // namespace undercroft::memory::testing
