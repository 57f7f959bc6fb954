// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The instructions that the SVM backend executes once its CPU is a guest: the host tests put a model in their place.
#include <cstdint>

#include "hypervisor/backend/svm/vmcb.hpp"

namespace undercroft::svm {

/// VMRUN with the general registers of `gpr` (RAX and RSP travel in the VMCB), which hold the guest's at the exit.
void enter_guest(std::uint64_t* gpr, Vmcb* vmcb);
/// VMSAVE and VMLOAD: FS, GS, TR, LDTR and the syscall MSRs, which stay in the processor across exits.
void save_hidden_state(Vmcb* vmcb);
void load_hidden_state(Vmcb* vmcb);
void take_pending_nmi();
void clear_breakpoints();
/// DebugCtl, which stays in the processor across exits too (no LBR virtualisation).
[[nodiscard]] std::uint64_t debug_control();
void set_debug_control(std::uint64_t value);

} // namespace undercroft::svm
