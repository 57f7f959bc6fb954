// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>

namespace undercroft::analysis {

/// Something the user can act on: the message names the file and what is wrong with it.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace undercroft::analysis
