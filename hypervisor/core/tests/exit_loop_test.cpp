// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Plays exit_script.hpp on the fake backend.
#include "hypervisor/core/tests/exit_player.hpp"

namespace undercroft::core::testing {
namespace {

struct FakeRig {
    backend::fake::FakeCpu cpu;
    void next(backend::Exit const& exit, std::uint64_t /*bytes*/) { cpu.add(exit); }
};

class ExitScript : public ::testing::TestWithParam<Scenario> {};

TEST_P(ExitScript, Holds)
{
    play_scenario<FakeRig>(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Fake, ExitScript, ::testing::ValuesIn(exit_scenarios()), test_name);

} // namespace
} // namespace undercroft::core::testing
