// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "preflight/judge.hpp"

namespace undercroft::preflight {

/// For people: problems first, lines of at most about 100 columns.
[[nodiscard]] std::string as_text(Facts const& facts, std::vector<Finding> const& findings);
/// The same for any machine.
[[nodiscard]] std::string report_text(std::vector<Finding> const& findings, std::vector<Unread> const& unread,
                                      std::string const& conclusion);
[[nodiscard]] std::string report_json(std::vector<Finding> const& findings, std::vector<Unread> const& unread,
                                      std::string const& result);
/// {"result", "findings": [{level, what, why, remedy}], "unread": [{what, how}]}
[[nodiscard]] std::string as_json(Facts const& facts, std::vector<Finding> const& findings);

} // namespace undercroft::preflight
