// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/boot/uefi/efi.hpp"

namespace undercroft::efi {

/// "undercroft: error: TEXT; the system starts without the sensor."
void print_error(SystemTable* system, char const* text);
/// The same with the configuration file's line (0: the file as a whole).
void print_config_error(SystemTable* system, unsigned line, char const* text);

} // namespace undercroft::efi
