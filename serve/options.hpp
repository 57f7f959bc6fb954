// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "serve/site.hpp"

namespace undercroft::serve {

/// Adds the page's options; their long names begin with `prefix` ("--" or "--serve-"), and --listen is left to the
/// caller.
void add_site_options(CLI::App& command, SiteOptions& options, std::string const& prefix, std::string const& group);

/// Commands go to the collector that listens at `socket`; empty: to none.
[[nodiscard]] CollectorLink link_to(std::string const& socket);

/// What to say once the page is there.
[[nodiscard]] std::string greeting(Site const& site);

} // namespace undercroft::serve
