// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "preflight/facts.hpp"

namespace undercroft::preflight {

/// By CPUID and MSRs. Everything of facts.processor but runs_la57.
void read_processor(Source const& source, Facts& facts);

} // namespace undercroft::preflight
