// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "analysis/read/record_scan.hpp"
#include "wire/record.hpp"

namespace undercroft::analysis {

/// The row that the store will have of a record, without content and request. The record is of a slot that adds up
/// (collector::slot_adds_up): its kind is known.
[[nodiscard]] RecordRow row_of(wire::Record const& record, std::uint64_t sequence);

} // namespace undercroft::analysis
