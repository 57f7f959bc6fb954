// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The processor is the witness: random programs run natively one instruction at a time
// (by the trap flag) and in steps of run_ahead; registers, flags and RIP must be the same after each.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "hypervisor/decode/alu.hpp"
#include "hypervisor/decode/run_ahead.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::decode {
namespace {

struct State {
    std::uint64_t gpr[16];
    std::uint64_t rip, rflags;
};

// Guest-linear and native address alike; data follows code.
constexpr std::uint64_t code_at = 0x3000'0000'0000, data_at = code_at + page_bytes;
constexpr int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                           REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
constexpr std::uint64_t trap = 1ULL << 8;

/// Filled in by the signal handler.
struct Tracer {
    State start{};
    std::uint64_t end = 0;
    bool running = false;
    unsigned count = 0;
    std::array<State, 128> trace{};
    gregset_t saved{};
} tracer;

void on_trap(int, siginfo_t*, void* raw)
{
    auto& regs = static_cast<ucontext_t*>(raw)->uc_mcontext.gregs;
    auto const at = [&](int reg) -> greg_t& { return regs[reg]; };
    if (!tracer.running) {
        std::memcpy(tracer.saved, regs, sizeof(regs));
        for (unsigned i = 0; i < 16; ++i)
            at(order[i]) = static_cast<greg_t>(tracer.start.gpr[i]);
        at(REG_RIP) = static_cast<greg_t>(tracer.start.rip);
        at(REG_EFL) = static_cast<greg_t>(tracer.start.rflags | trap);
        tracer.running = true;
        return;
    }
    State& state = tracer.trace[tracer.count++];
    for (unsigned i = 0; i < 16; ++i)
        state.gpr[i] = static_cast<std::uint64_t>(at(order[i]));
    state.rip = static_cast<std::uint64_t>(at(REG_RIP));
    state.rflags = static_cast<std::uint64_t>(at(REG_EFL)) & ~trap;
    if (state.rip == tracer.end || tracer.count == tracer.trace.size()) {
        std::memcpy(regs, tracer.saved, sizeof(regs));
        tracer.running = false;
    }
}

struct NoDevice final : core::MmioHandler {
    std::uint64_t read(std::uint64_t, unsigned) override
    {
        ADD_FAILURE();
        return 0;
    }
    void write(std::uint64_t, unsigned, std::uint64_t) override { ADD_FAILURE(); }
};

/// One instruction and the status flags that the manual leaves undefined after it.
struct Made {
    std::vector<std::uint8_t> bytes;
    std::uint64_t undefined = 0;
    int shift_width = 0, shift_count = 0; ///< of shifts: width in bytes
};
constexpr int count_in_cl = -1;

class RunAheadNative : public ::testing::Test {
protected:
    void SetUp() override
    {
        void* const at = mmap(reinterpret_cast<void*>(code_at), 2 * page_bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        ASSERT_EQ(at, reinterpret_cast<void*>(code_at));
        stack_t const alternate{.ss_sp = signal_stack.data(), .ss_flags = 0, .ss_size = signal_stack.size()};
        ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
        struct sigaction action{};
        action.sa_sigaction = on_trap;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        ASSERT_EQ(sigaction(SIGTRAP, &action, nullptr), 0);
        constexpr std::uint64_t marked = 0x63; // present, writable, accessed, dirty
        ram.put<std::uint64_t>(0x1000 + 8 * (code_at >> 39), 0x2000 | marked);
        ram.put<std::uint64_t>(0x2000, 0x3000 | marked);
        ram.put<std::uint64_t>(0x3000, 0x4000 | marked);
        ram.put<std::uint64_t>(0x4000, 0x5000 | marked);
        ram.put<std::uint64_t>(0x4008, 0x6000 | marked);
    }
    void TearDown() override
    {
        munmap(reinterpret_cast<void*>(code_at), 2 * page_bytes);
        signal(SIGTRAP, SIG_DFL);
    }

    std::uint8_t pick(std::initializer_list<int> from)
    {
        return static_cast<std::uint8_t>(*(from.begin() + random() % from.size()));
    }
    std::uint8_t byte() { return static_cast<std::uint8_t>(random()); }

    /// ModRM with a register or, where allowed, [rdi + disp8] or [rdi + r12 * scale + disp32] as place. RSP and RDI
    /// and R12 (addresses) are never written: `reg` and a register place are chosen from the others.
    void operands(Made& made, bool memory_allowed, int extension)
    {
        static constexpr int usable[] = {0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 13, 14, 15};
        int const reg = extension >= 0 ? extension : usable[random() % std::size(usable)];
        rex |= static_cast<std::uint8_t>(reg >> 3 << 2);
        if (!memory_allowed || random() % 3 != 0) {
            int const place = usable[random() % std::size(usable)];
            rex |= static_cast<std::uint8_t>(place >> 3);
            tail = {static_cast<std::uint8_t>(0xC0 | (reg & 7) << 3 | (place & 7))};
        } else if (random() % 2 != 0) {
            tail = {static_cast<std::uint8_t>(0x40 | (reg & 7) << 3 | 7), static_cast<std::uint8_t>(random() % 128)};
        } else {
            rex |= 2; // index r12
            tail = {static_cast<std::uint8_t>(0x84 | (reg & 7) << 3),
                    static_cast<std::uint8_t>(pick({0x27, 0x67, 0xA7, 0xE7})),
                    byte(),
                    1,
                    0,
                    0};
        }
        (void)made;
    }
    void finish(Made& made, int width, std::initializer_list<int> opcode, unsigned immediate_bytes = 0)
    {
        if (width == 2)
            made.bytes.push_back(0x66);
        if (width == 8)
            rex |= 8;
        if (rex != 0 || (width == 1 && random() % 2 != 0)) // without REX: AH ... BH; RSP's and RDI's low bytes never
            made.bytes.push_back(0x40 | rex);
        else if (width == 1)
            for_legacy_bytes();
        for (int op : opcode)
            made.bytes.push_back(static_cast<std::uint8_t>(op));
        made.bytes.insert(made.bytes.end(), tail.begin(), tail.end());
        for (unsigned i = 0; i < immediate_bytes; ++i)
            made.bytes.push_back(byte());
    }
    /// Register numbers 4-7 mean AH ... BH here: all may be written.
    void for_legacy_bytes()
    {
        if (random() % 2 != 0)
            tail[0] =
                static_cast<std::uint8_t>(tail[0] >= 0xC0 ? 0xC0 | (tail[0] & 0x38) | (4 + random() % 4) : tail[0]);
    }

    Made arithmetic()
    {
        Made made;
        int const which = static_cast<int>(random() % 8), width = pick({1, 2, 4, 8});
        made.undefined = which == 1 || which == 4 || which == 6 ? flag::adjust : 0;
        switch (random() % 3) {
        case 0: // register = register op place; CMP also place first
            operands(made, true, -1);
            finish(made, width, {which * 8 + (width == 1 ? 2 : 3)});
            break;
        case 1: // place op= register: memory only for CMP
            operands(made, which == 7, -1);
            finish(made, width, {which * 8 + (width == 1 ? 0 : 1)});
            break;
        default:
            operands(made, which == 7, which);
            finish(made, width, {width == 1 ? 0x80 : 0x83}, 1);
            break;
        }
        return made;
    }
    Made test_or_unary()
    {
        Made made;
        int const width = pick({1, 2, 4, 8}), odd = width == 1 ? 0 : 1;
        switch (random() % 3) {
        case 0:
            made.undefined = flag::adjust;
            operands(made, true, -1);
            finish(made, width, {0x84 + odd});
            break;
        case 1:
            operands(made, false, pick({0, 1}));
            finish(made, width, {0xFE + odd});
            break;
        default:
            operands(made, false, pick({2, 3}));
            finish(made, width, {0xF6 + odd});
            break;
        }
        return made;
    }
    Made move()
    {
        Made made;
        int const width = pick({1, 2, 4, 8}), odd = width == 1 ? 0 : 1;
        switch (random() % 6) {
        case 0:
            operands(made, true, -1), finish(made, width, {0x8A + odd});
            break;
        case 1:
            operands(made, false, -1), finish(made, width, {0x88 + odd});
            break;
        case 2:
            operands(made, false, 0), finish(made, width, {0xC6 + odd}, width == 8 ? 4 : static_cast<unsigned>(width));
            break;
        case 3:
            operands(made, true, -1), finish(made, pick({2, 4, 8}), {0x0F, pick({0xB6, 0xBE, 0xB7, 0xBF})});
            break;
        case 4:
            operands(made, true, -1), finish(made, 8, {0x63});
            break;
        default:
            operands(made, true, -1), finish(made, pick({4, 8}), {0x0F, 0x40 + static_cast<int>(random() % 16)});
            break;
        }
        return made;
    }
    /// SHL, SHR, SAR by immediate, 1 or CL.
    Made shift()
    {
        Made made;
        int const width = pick({1, 2, 4, 8}), odd = width == 1 ? 0 : 1;
        made.undefined = flag::adjust;
        operands(made, false, pick({4, 5, 7}));
        switch (random() % 3) {
        case 0:
            finish(made, width, {0xC0 + odd}, 1);
            made.shift_count = made.bytes.back();
            break;
        case 1:
            finish(made, width, {0xD0 + odd});
            made.shift_count = 1;
            break;
        default:
            finish(made, width, {0xD2 + odd});
            made.shift_count = count_in_cl;
            break;
        }
        made.shift_width = width;
        return made;
    }
    Made other()
    {
        Made made;
        switch (random() % 5) {
        case 0:
            operands(made, false, -1);
            made.undefined = flag::overflow | flag::sign | flag::adjust | flag::parity;
            finish(made, pick({2, 4, 8}), {0x0F, pick({0xA3, 0xAB, 0xB3, 0xBB})});
            break;
        case 1:
            operands(made, true, 4);
            if (tail[0] >= 0xC0)
                rex &= 9;
            made.undefined = flag::overflow | flag::sign | flag::adjust | flag::parity;
            finish(made, pick({2, 4, 8}), {0x0F, 0xBA}, 1);
            break;
        case 2: // LEA r, [rdi + r12 * scale + disp32], [rip + disp32]
            operands(made, false, -1);
            if (random() % 2 != 0) {
                rex &= 0xC;
                tail = {static_cast<std::uint8_t>((tail[0] & 0x38) | 5), byte(), byte(), byte(), byte()};
            } else {
                rex = static_cast<std::uint8_t>((rex & 0xC) | 2);
                tail = {static_cast<std::uint8_t>(0x84 | (tail[0] & 0x38)), 0xA7, byte(), byte(), byte(), byte()};
            }
            if (tail.size() == 6 && random() % 4 == 0) // relative to EIP stops
                made.bytes.push_back(0x67);
            finish(made, pick({2, 4, 8}), {0x8D});
            if (made.bytes.size() > 1 && made.bytes[0] == 0x67 && made.bytes[1] == 0x66)
                std::swap(made.bytes[0], made.bytes[1]);
            break;
        case 3:
            operands(made, false, 0);
            finish(made, 1, {0x0F, 0x90 + static_cast<int>(random() % 16)});
            break;
        default:
            made.bytes = random() % 2 != 0 ? std::vector<std::uint8_t>{0x66, 0x0F, 0x1F, 0x44, 0, 0}
                                           : std::vector<std::uint8_t>{0xF3, 0x0F, 0x1E, 0xFA};
            break;
        }
        return made;
    }
    Made make()
    {
        rex = 0;
        tail.clear();
        switch (random() % 6) {
        case 0:
        case 1:
            return arithmetic();
        case 2:
            return test_or_unary();
        case 3:
            return move();
        case 4:
            return shift();
        default:
            return other();
        }
    }

    /// A program of `count` instructions with forward branches among them.
    void write_program(unsigned count)
    {
        program.clear();
        std::vector<std::uint8_t> code;
        for (unsigned i = 0; i < count; ++i) {
            Made made = make();
            if (random() % 5 == 0) { // branch over the next one
                auto const over = static_cast<std::uint8_t>(made.bytes.size());
                bool const near = random() % 2 != 0, always = random() % 5 == 0;
                auto const condition = static_cast<std::uint8_t>(random() % 16);
                std::vector<std::uint8_t> branch;
                if (always)
                    branch =
                        near ? std::vector<std::uint8_t>{0xE9, over, 0, 0, 0} : std::vector<std::uint8_t>{0xEB, over};
                else
                    branch =
                        near ? std::vector<std::uint8_t>{0x0F, static_cast<std::uint8_t>(0x80 | condition), over, 0, 0,
                                                         0}
                             : std::vector<std::uint8_t>{static_cast<std::uint8_t>(0x70 | condition), over};
                program.push_back({code_at + code.size(), {}});
                code.insert(code.end(), branch.begin(), branch.end());
            }
            program.push_back({code_at + code.size(), made});
            code.insert(code.end(), made.bytes.begin(), made.bytes.end());
        }
        tracer.end = code_at + code.size();
        code.push_back(0xCC);
        std::memcpy(reinterpret_cast<void*>(code_at), code.data(), code.size());
        copy_to_guest();
    }
    void copy_to_guest()
    {
        ASSERT_TRUE(ram.write(Gpa{0x5000}, {reinterpret_cast<std::byte const*>(code_at), 2 * page_bytes}));
    }
    void randomise()
    {
        for (auto& value : tracer.start.gpr)
            value = random() % 3 == 0 ? (1ULL << (random() % 64)) - (random() % 2) : random();
        tracer.start.gpr[7] = data_at + 0x400;
        tracer.start.gpr[12] = random() % 64;
        tracer.start.gpr[4] = data_at + 0xE00;
        tracer.start.rip = code_at;
        tracer.start.rflags = (random() & flag::status) | 0x202;
        for (std::uint64_t i = 0; i < page_bytes; i += 8) {
            std::uint64_t const value = random();
            std::memcpy(reinterpret_cast<void*>(data_at + i), &value, 8);
        }
    }
    /// Flags undefined after the instruction at `rip`, given its inputs.
    std::uint64_t undefined_after(State const& before)
    {
        for (auto const& [rip, made] : program) {
            if (rip != before.rip)
                continue;
            if (made.shift_width == 0)
                return made.undefined;
            auto const given =
                made.shift_count == count_in_cl ? before.gpr[1] : static_cast<unsigned>(made.shift_count);
            unsigned const count = given & (made.shift_width == 8 ? 63 : 31);
            return (count != 0 ? flag::adjust : 0) | (count > 1 ? flag::overflow : 0) |
                   (count >= 8U * static_cast<unsigned>(made.shift_width) ? flag::carry : 0);
        }
        return 0;
    }

    struct Placed {
        std::uint64_t rip;
        Made made;
    };
    std::mt19937_64 random{20261122};
    std::uint8_t rex = 0;
    std::vector<std::uint8_t> tail;
    std::vector<Placed> program;
    std::vector<char> signal_stack = std::vector<char>(1 << 16);
    paging::testing::Ram ram{0x7000};
};

/// The last instruction's flags that the processor left undefined come from the processor.
TEST_F(RunAheadNative, EachInstructionOfRandomPrograms)
{
    NoDevice device;
    StepCache cache;
    unsigned compared = 0, stopped = 0;
    for (unsigned round = 0; round < 30'000 && !HasFailure(); ++round) {
        write_program(1 + random() % 10);
        randomise();
        copy_to_guest();
        tracer.count = 0;
        asm volatile("int3" ::: "memory");
        ASSERT_LT(tracer.count, tracer.trace.size());
        backend::Registers registers;
        std::memcpy(registers.gpr, tracer.start.gpr, sizeof(registers.gpr));
        backend::PagingState const paging{.cr0 = 0x8001'0033,
                                          .cr3 = 0x1000,
                                          .cr4 = 0x20,
                                          .efer = 0xD01,
                                          .rflags = tracer.start.rflags,
                                          .cs_long = true,
                                          .cs_default_32 = false,
                                          .cpl = 0};
        RunAheadContext context{.registers = registers,
                                .rip = code_at,
                                .paging = paging,
                                .memory = ram,
                                .handler = device,
                                .is_watched = [](void const*, Gpa) { return false; },
                                .owner = nullptr};
        State before = tracer.start;
        for (unsigned i = 0; i < tracer.count && !HasFailure(); ++i) {
            State const& native = tracer.trace[i];
            auto const* code = reinterpret_cast<std::uint8_t const*>(before.rip);
            auto const bytes = ::testing::PrintToString(
                std::vector<unsigned>(code, code + (native.rip > before.rip ? native.rip - before.rip : 8)));
            StepResult const result = perform_step(context, cache);
            stopped += result == StepResult::stopped;
            ASSERT_EQ(result, StepResult::done) << bytes;
            ASSERT_EQ(context.rip, native.rip) << bytes;
            for (unsigned r = 0; r < 16; ++r)
                ASSERT_EQ(registers.gpr[r], native.gpr[r])
                    << "register " << r << " after " << bytes << " flags " << before.rflags;
            std::uint64_t const undefined = undefined_after(before);
            ASSERT_EQ(context.paging.rflags & ~undefined, native.rflags & ~undefined)
                << bytes << std::hex << context.paging.rflags << ' ' << native.rflags;
            context.paging.rflags = native.rflags;
            before = native;
            ++compared;
        }
        ASSERT_EQ(perform_step(context, cache), StepResult::stopped) << "INT3";
    }
    EXPECT_GT(compared, 100'000U);
    EXPECT_EQ(stopped, 0U);
}

} // namespace
} // namespace undercroft::decode
