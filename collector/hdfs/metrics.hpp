// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "collector/hdfs/uploader.hpp"
#include "collector/metrics/exposition.hpp"

namespace undercroft::collector {

/// The upload's figures for Prometheus.
void write_hdfs_figures(Exposition& out, HdfsFigures const& figures);

} // namespace undercroft::collector
