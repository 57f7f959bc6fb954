// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Plays core/tests/exit_script.hpp on the VMX backend.
#include "hypervisor/backend/tests/vmx_rig.hpp"
#include "hypervisor/core/tests/exit_player.hpp"

namespace undercroft::core::testing {
namespace {

class VmxExitScript : public ::testing::TestWithParam<Scenario> {};

TEST_P(VmxExitScript, Holds)
{
    play_scenario<vmx::testing::Rig>(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Vmx, VmxExitScript,
                         ::testing::ValuesIn(scenarios_without(backend::ExitKind::protection_fault)), test_name);

} // namespace
} // namespace undercroft::core::testing
