// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Plays exit_script.hpp on a backend. A rig gives:
//   cpu              a backend::VirtualCpu with `calls`, a std::vector<backend::fake::Call>
//   next(exit, n)    the next run() ends so; n: bytes of the instruction that exits
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <deque>
#include <map>
#include <string>

#include "hypervisor/backend/fake/fake_cpu.hpp"
#include "hypervisor/core/exit_loop.hpp"
#include "hypervisor/core/tests/exit_script.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::core::testing {

inline void PrintTo(Call const& call, std::ostream* out)
{
    *out << call.name << std::hex << '(' << call.a << ", " << call.b << ", " << call.c << ')';
}

using backend::Segment;

struct GuestShutdown {};
struct WaitsForever {};

/// The machine around one CPU: keeps what was asked in the CPU's own list of calls, so that the order shows.
class ScriptedMachine final : public ExitServices, private MmioHandler {
public:
    explicit ScriptedMachine(std::vector<backend::fake::Call>& calls) : calls_{&calls} {}

    Counters& counters() override { return counters_; }
    GuestMemory& memory() override { return ram; }
    MmioHandler& mmio() override { return *this; }
    bool is_watched(Gpa gpa) override { return gpa.value >= 0xFE00'0000; }
    bool may_open(Gpa gpa) override { return note("may_open", gpa.value), answers.may_open; }
    std::uint32_t processor_signature() const override { return signature; }
    std::uint32_t port_read(std::uint16_t port, unsigned width) override
    {
        note("port_read", port, width);
        return static_cast<std::uint32_t>(device_value);
    }
    void port_write(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        note("port_write", port, width, value);
    }
    MsrAnswer msr_read(std::uint32_t number, std::uint64_t& value) override
    {
        note("msr_read", number);
        value = answers.msr_value;
        return answers.msr_faults ? MsrAnswer::fault : MsrAnswer::done;
    }
    MsrAnswer msr_write(std::uint32_t number, std::uint64_t value) override
    {
        note("msr_write", number, value);
        return answers.msr_faults ? MsrAnswer::fault : MsrAnswer::done;
    }
    bool hypercall(backend::Registers&, backend::PagingState const&) override
    {
        return note("hypercall"), answers.hypercall_taken;
    }
    bool memory_fault(backend::Exit const& exit, std::uint16_t) override
    {
        if (answers.monitor_takes)
            note("memory_fault", exit.gpa.value, exit.is_write, exit.is_fetch);
        return answers.monitor_takes;
    }
    void after_open_step() override { note("after_open_step"); }
    bool take_kick(Mailbox& mailbox) override { return mailbox.take_kick(answers.time, 100); }
    [[noreturn]] void guest_shutdown() override
    {
        note("guest_shutdown");
        throw GuestShutdown{};
    }

    Answers answers;
    paging::testing::Ram ram{0x10000};

private:
    std::uint64_t read(std::uint64_t gpa, unsigned width) override
    {
        note("mmio_read", gpa, width);
        return width == 8 ? device_value : device_value & ((1ULL << (8 * width)) - 1);
    }
    void write(std::uint64_t gpa, unsigned width, std::uint64_t value) override
    {
        note("mmio_write", gpa, width, value);
    }
    void note(std::string_view name, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0)
    {
        calls_->push_back({name, {a, b, c, 0}});
    }
    std::vector<backend::fake::Call>* calls_;
    Counters counters_;
};

inline void post(Mailbox& mailbox, Post const& what)
{
    switch (what.kind) {
    case Post::Kind::init:
        mailbox.startup.post_init();
        break;
    case Post::Kind::startup:
        (void)mailbox.startup.post_startup(what.vector);
        break;
    case Post::Kind::flush:
        mailbox.post_flush();
        break;
    case Post::Kind::kick:
        mailbox.note_kick(0);
        mailbox.note_sent();
        break;
    }
}

inline std::deque<Post> while_waiting;

inline void wait_for_request(Mailbox& mailbox)
{
    if (while_waiting.empty())
        throw WaitsForever{};
    post(mailbox, while_waiting.front());
    while_waiting.pop_front();
}

template <typename Cpu>
void enter_mode(Cpu& cpu, paging::testing::Ram& ram, Mode mode)
{
    switch (mode) {
    case Mode::long64:
        ram.put<std::uint64_t>(0x1000, 0x2007);
        ram.put<std::uint64_t>(0x2000, 0x3007);
        ram.put<std::uint64_t>(0x3000 + 2 * 8, 0x4007);
        ram.put<std::uint64_t>(0x4000, code_gpa | 7);
        cpu.set_segment(Segment::cs, {0x10, 0xA9B, 0xFFFF'FFFF, 0x7777'0000}); // base is ignored in 64-bit mode
        cpu.set_system_registers(0x8001'0033, 0x1000, 0x20, 0xD00);
        cpu.set_rip(0x40'0000);
        break;
    case Mode::protected32:
        cpu.set_segment(Segment::cs, {0x10, 0xC9B, 0xFFFF'FFFF, 0});
        cpu.set_system_registers(0x11, 0, 0, 0);
        cpu.set_rip(code_gpa);
        break;
    case Mode::real:
        cpu.set_segment(Segment::cs, {0x0800, 0x9B, 0xFFFF, code_gpa});
        cpu.set_system_registers(0x10, 0, 0, 0);
        cpu.set_rip(0);
        break;
    }
    for (std::uint64_t i = 0; i < 16; ++i)
        cpu.registers().gpr[i] = 0x5555'0000'0000'0000 + i;
    cpu.set_rflags(0x202);
}

/// What the exit loop did, without the plain setters, whose effect is compared instead.
inline std::vector<Call> notable(std::vector<backend::fake::Call> const& calls)
{
    static constexpr std::string_view setters[] = {"set_rip",
                                                   "set_segment",
                                                   "set_rflags",
                                                   "set_system_registers",
                                                   "set_descriptor_tables",
                                                   "set_debug_and_activity_reset"};
    std::vector<Call> list;
    for (backend::fake::Call const& call : calls)
        if (std::ranges::find(setters, call.name) == std::end(setters))
            list.push_back({call.name, call.values[0], call.values[1], call.values[2]});
    return list;
}

using Totals = std::map<unsigned, std::uint64_t>;
inline Totals totals(Counters const& counters)
{
    Totals all;
#define X(id, name, text) all[id] = counters.get(wire::CounterId::name);
    UNDERCROFT_COUNTERS(X)
#undef X
    return all;
}

template <typename Rig>
class Player {
public:
    explicit Player(Scenario const& scenario)
    {
        enter_mode(cpu_, machine_.ram, scenario.mode);
        if (scenario.rip != 0)
            cpu_.set_rip(scenario.rip);
        mailbox_.startup.set_bootstrap(scenario.bootstrap);
        if (scenario.waiting)
            mailbox_.startup.set_waiting();
    }

    void play(Step const& step)
    {
        SCOPED_TRACE(std::string{step.name});
        prepare(step);
        std::uint64_t const rbx_before = cpu_.registers().gpr[rbx];
        backend::Registers expected = cpu_.registers();
        Totals counters = totals(machine_.counters());
        bool shut_down = false;
        try {
            EXPECT_EQ(loop_.step().kind, step.exit.kind);
        } catch (GuestShutdown const&) {
            shut_down = true;
        } catch (WaitsForever const&) {
            ADD_FAILURE() << "still waits for a SIPI";
        }
        EXPECT_EQ(shut_down, step.ends_in_shutdown);
        EXPECT_TRUE(while_waiting.empty()) << "went on before everything was posted";
        EXPECT_EQ(cpu_.rip(), step.rip);
        EXPECT_EQ(notable(cpu_.calls), step.calls);
        bool const after_init = rbx_before != 0 && cpu_.registers().gpr[rbx] == 0;
        if (after_init)
            expected = {};
        for (RegisterValue const& value : step.registers_after)
            expected.gpr[value.which] = value.value;
        for (unsigned i = 0; i < 16; ++i)
            EXPECT_EQ(cpu_.registers().gpr[i], expected.gpr[i]) << "register " << i;
        ++counters[static_cast<unsigned>(wire::CounterId::exits_total)];
        for (wire::CounterId const id : step.counters)
            ++counters[static_cast<unsigned>(id)];
        EXPECT_EQ(totals(machine_.counters()), counters);
        if (step.cs_base) {
            EXPECT_EQ(cpu_.segment(Segment::cs).base, *step.cs_base);
        }
        if (step.rflags) {
            EXPECT_EQ(cpu_.rflags(), *step.rflags);
        }
    }

private:
    void prepare(Step const& step)
    {
        std::uint64_t at =
            cpu_.paging().cs_long ? cpu_.rip() - 0x40'0000 + code_gpa : cpu_.segment(Segment::cs).base + cpu_.rip();
        for (std::uint8_t const byte : step.code)
            machine_.ram.put<std::uint8_t>(at++, byte);
        for (RegisterValue const& value : step.registers)
            cpu_.registers().gpr[value.which] = value.value;
        for (Post const& what : step.posts)
            post(mailbox_, what);
        while_waiting.assign(step.while_waiting.begin(), step.while_waiting.end());
        machine_.answers = step.answers;
        backend::SegmentState stack = cpu_.segment(Segment::ss);
        stack.attributes = static_cast<std::uint16_t>((stack.attributes & ~0x60) | step.cpl << 5);
        cpu_.set_segment(Segment::ss, stack);
        backend::Exit exit = step.exit;
        if (step.next_rip_offset != 0)
            exit.next_rip = cpu_.rip() + step.next_rip_offset;
        rig_.next(exit, step.next_rip_offset != 0 ? step.next_rip_offset : length_of(step));
        cpu_.calls.clear();
    }

    /// Of the instruction that exits, where the script does not say.
    static std::uint64_t length_of(Step const& step)
    {
        if (!step.code.empty())
            return step.code.size();
        return step.exit.kind == backend::ExitKind::halt ? 1 : step.exit.kind == backend::ExitKind::hypercall ? 3 : 2;
    }

    using Cpu = std::remove_reference_t<decltype(Rig::cpu)>;
    Rig rig_;
    Cpu& cpu_ = rig_.cpu;
    Mailbox mailbox_;
    ScriptedMachine machine_{cpu_.calls};
    ExitLoop<Cpu> loop_{cpu_, 0, mailbox_, machine_, &wait_for_request};
};

/// Without those that have an exit of this kind, which the vendor does not know.
inline std::vector<Scenario> scenarios_without(backend::ExitKind kind)
{
    std::vector<Scenario> list = exit_scenarios();
    std::erase_if(list, [kind](Scenario const& scenario) {
        return std::ranges::any_of(scenario.steps, [kind](Step const& step) { return step.exit.kind == kind; });
    });
    return list;
}

template <typename Rig>
void play_scenario(Scenario const& scenario)
{
    SCOPED_TRACE(std::string{scenario.name});
    Player<Rig> player{scenario};
    for (Step const& step : scenario.steps)
        player.play(step);
}

inline std::string test_name(::testing::TestParamInfo<Scenario> const& info)
{
    std::string name;
    for (char const c : info.param.name)
        name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    return name;
}

} // namespace undercroft::core::testing
