// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Log lines of these tests are counted, so that flooding shows.
#include "hypervisor/mediate/ahci/tests/log_capture.hpp"

#include "hypervisor/core/log.hpp"

namespace undercroft::ahci::fake {
std::atomic<std::uint64_t> log_lines{0};
} // namespace undercroft::ahci::fake

namespace undercroft::core {
void log_values(LogLevel, LogValue const*, unsigned)
{
    ++ahci::fake::log_lines;
}
void log_line(LogLevel, std::string_view)
{
    ++ahci::fake::log_lines;
}
} // namespace undercroft::core
