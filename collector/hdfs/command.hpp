// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>

#include "collector/hdfs/options.hpp"

namespace undercroft::collector {

/// Everything but the URL. Each option's name begins with `prefix` ("--hdfs-" or "--").
void add_hdfs_options(CLI::App& command, HdfsOptions& options, std::string const& prefix, std::string const& group);

/// Adds `hdfs` with its commands to the program.
void register_hdfs_commands(CLI::App& root, int& exit_code);

} // namespace undercroft::collector
