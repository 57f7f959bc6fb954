// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/memory/monitor.hpp"

#include <algorithm>

namespace undercroft::memory {
namespace {

using wire::ControlResult;
using wire::MemoryAction;
using wire::MemoryMode;
using wire::MemoryRequest;

/// After a fault an engine's tick() is called this soon: what it keeps may have a time limit.
constexpr std::uint64_t tick_after_fault_us = 1000;

} // namespace

template <typename Work>
void Monitor::timed(Mode& mode, Tsc now, Work&& work)
{
    work();
    Tsc const end = parts_.clock->tsc();
    mode.ticks += end.value > now.value ? end.value - now.value : 0;
}

ControlResult Monitor::request(MemoryRequest request)
{
    if (request.reserved.get() != 0 || request.mode.get() > wire::memory_modes)
        return ControlResult::bad_request;
    auto const mode = static_cast<MemoryMode>(request.mode.get());
    Tsc const now = parts_.clock->tsc();
    core::SpinGuard const guard{lock_};
    switch (static_cast<MemoryAction>(request.action.get())) {
    case MemoryAction::status:
        return ControlResult::done;
    case MemoryAction::start:
        return mode == MemoryMode::none ? ControlResult::bad_request : start(index_of(mode), request, now);
    case MemoryAction::stop:
        for (std::size_t i = 0; i < modes_.size(); ++i)
            if (mode == MemoryMode::none || i == index_of(mode))
                stop(i, now);
        return ControlResult::done;
    }
    return ControlResult::bad_request;
}

ControlResult Monitor::start(std::size_t index, MemoryRequest request, Tsc now)
{
    Mode& mode = modes_[index];
    if (mode.engine == nullptr || parts_.view == nullptr)
        return ControlResult::not_possible;
    if (ControlResult const result = mode.engine->judge(request); result != ControlResult::done)
        return result;
    ViewUse const use = mode.engine->view_use(request);
    Mode const* const user = view_user();
    if (use != ViewUse::none && user != nullptr && user != &mode)
        return ControlResult::busy;
    mode.request = request;
    mode.runs = true;
    mode.use = use;
    say_mode(mode, MemoryAction::start, now);
    change_view();
    timed(mode, now, [&] { mode.engine->start(request, now); });
    mode.due = now;
    changed();
    return ControlResult::done;
}

void Monitor::stop(std::size_t index, Tsc now)
{
    Mode& mode = modes_[index];
    if (!mode.runs)
        return;
    timed(mode, now, [&] { mode.engine->stop(now); });
    mode.runs = false;
    mode.use = ViewUse::none;
    mode.due = never;
    change_view();
    say_mode(mode, MemoryAction::stop, now);
    changed();
}

Monitor::Mode* Monitor::view_user()
{
    auto* const user = std::find_if(modes_.data(), modes_.data() + modes_.size(),
                                    [](Mode const& mode) { return mode.use != ViewUse::none; });
    return user != modes_.data() + modes_.size() ? user : nullptr;
}

/// The CPUs run on what the running modes need. A view that nobody uses any more gets its rights back.
void Monitor::change_view()
{
    Mode const* const user = view_user();
    ViewUse const use = user != nullptr ? user->use : ViewUse::none;
    if (use == use_)
        return;
    (void)parts_.view->take_disturbed(); // what was there before it is used does not matter
    if (use != ViewUse::none)
        parts_.view->set_bits_live(use == ViewUse::faults_and_bits &&
                                   (parts_.missing & wire::memory_lack::no_access_bits) == 0);
    parts_.view_switch->use(use);
    use_ = use;
    if (use == ViewUse::none)
        parts_.view->reset();
}

void Monitor::changed()
{
    std::uint32_t running = 0;
    bool turns = false;
    Tsc due = never;
    for (Mode const& mode : modes_) {
        if (!mode.runs)
            continue;
        ++running;
        turns = turns || mode.request.every_turns.get() != 0;
        due = std::min(due, mode.due);
    }
    running_.store(running, std::memory_order_relaxed);
    wants_turns_.store(turns, std::memory_order_relaxed);
    due_.store(due.value, std::memory_order_relaxed);
}

void Monitor::say_mode(Mode const& mode, MemoryAction action, Tsc now)
{
    MemoryRequest content = mode.request;
    content.action = static_cast<std::uint16_t>(action);
    wire::Record record{};
    record.kind = static_cast<std::uint8_t>(wire::Kind::memory_mode);
    record.length = std::uint32_t{sizeof(content)};
    record.source = content.mode.get();
    (void)parts_.stream->put(record, reinterpret_cast<std::byte const*>(&content), now);
    if (action != MemoryAction::start)
        return;
    for (PageRange const& range : parts_.view->usable())
        put_range(*parts_.stream, wire::Kind::memory_region, 0, range, now);
}

bool Monitor::fault(Fault const& fault)
{
    if (parts_.view == nullptr)
        return false;
    switch (parts_.view->judge(fault.gpa, fault.needed())) {
    case FaultCause::not_watched:
        return false;
    case FaultCause::allowed: // opened just now, granted by another CPU, or the CPUs have left the view
        return true;
    case FaultCause::denied:
        break;
    }
    core::SpinGuard const guard{lock_};
    if (parts_.view->judge(fault.gpa, fault.needed()) != FaultCause::denied)
        return true;
    Mode* const user = view_user();
    if (user != nullptr) {
        parts_.counters->add(wire::CounterId::memory_faults);
        ++user->faults;
        positions_[fault.cpu].at_fault = positions_[fault.cpu].now;
        timed(*user, fault.now, [&] { user->engine->on_fault(fault); });
        user->due =
            std::min(user->due, Tsc{fault.now.value + parts_.clock->tsc_hz() / 1'000'000 * tick_after_fault_us});
        changed();
    }
    if (parts_.view->judge(fault.gpa, fault.needed()) == FaultCause::denied)
        (void)parts_.view->grant(fault.gpa, paging::rights_all);
    return true;
}

void Monitor::note_exit(std::uint16_t cpu, std::uint64_t position)
{
    Position& at = positions_[cpu];
    at.now = position;
    if (position != at.at_fault)
        at.left.fetch_add(1, std::memory_order_release);
}

void Monitor::after_exit(std::uint16_t cpu, Tsc now)
{
    if (wants_turns_.load(std::memory_order_relaxed) && lock_.try_lock()) {
        for (Mode& mode : modes_)
            if (mode.runs && mode.request.every_turns.get() != 0)
                timed(mode, now, [&] { mode.engine->on_turn(cpu, now); });
        lock_.unlock();
    }
    if (now >= due())
        tick(now);
}

void Monitor::tick(Tsc now)
{
    if (now < due() || !lock_.try_lock())
        return;
    Mode* const user = view_user();
    if (user != nullptr && parts_.view->take_disturbed())
        timed(*user, now, [&] { user->engine->start(user->request, now); });
    for (std::size_t i = 0; i < modes_.size(); ++i) {
        Mode& mode = modes_[i];
        if (!mode.runs || mode.due > now)
            continue;
        timed(mode, now, [&] { mode.due = mode.engine->tick(now); });
        if (mode.engine->finished())
            stop(i, now);
    }
    changed();
    lock_.unlock();
}

void Monitor::device_write(PageRange range, std::uint16_t cpu, Tsc now)
{
    if (!running())
        return;
    core::SpinGuard const guard{lock_};
    for (Mode& mode : modes_)
        if (mode.runs)
            timed(mode, now, [&] { mode.engine->on_device_write(range, cpu, now); });
}

void Monitor::status(std::span<wire::MemoryStatus, wire::memory_modes> into)
{
    core::SpinGuard const guard{lock_};
    for (std::size_t i = 0; i < modes_.size(); ++i) {
        Mode const& mode = modes_[i];
        wire::MemoryStatus status{};
        if (mode.engine != nullptr)
            mode.engine->status(status);
        status.request = mode.request;
        status.request.mode = static_cast<std::uint16_t>(i + 1);
        status.request.action = static_cast<std::uint16_t>(mode.runs ? MemoryAction::start : MemoryAction::stop);
        status.faults = mode.faults;
        status.ticks_in_sensor = mode.ticks;
        status.missing = parts_.missing;
        into[i] = status;
    }
}

} // namespace undercroft::memory
