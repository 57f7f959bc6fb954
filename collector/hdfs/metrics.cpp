// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/metrics.hpp"

#include <array>

namespace undercroft::collector {
namespace {

struct UploadCounter {
    char const* name;
    std::uint64_t HdfsFigures::* value;
    char const* help;
};
constexpr std::array counters{
    UploadCounter{"undercroft_hdfs_files_uploaded_total", &HdfsFigures::files_uploaded, "files uploaded to HDFS"},
    UploadCounter{"undercroft_hdfs_uploaded_bytes_total", &HdfsFigures::bytes_uploaded, "bytes of these"},
    UploadCounter{"undercroft_hdfs_files_found_total", &HdfsFigures::files_found, "files that HDFS had already"},
    UploadCounter{"undercroft_hdfs_files_replaced_total", &HdfsFigures::files_replaced,
                  "files deleted from HDFS because a compacted file has their rows"},
    UploadCounter{"undercroft_hdfs_files_vanished_total", &HdfsFigures::files_vanished,
                  "files deleted from the store before they could be uploaded"},
    UploadCounter{"undercroft_hdfs_retries_total", &HdfsFigures::retries, "uploads that failed and are tried again"},
};

constexpr double ns_per_s = 1e9;

} // namespace

void write_hdfs_figures(Exposition& out, HdfsFigures const& figures)
{
    for (UploadCounter const& counter : counters) {
        out.metric(counter.name, MetricType::counter, counter.help);
        out.sample(figures.*counter.value);
    }
    out.metric("undercroft_hdfs_files_waiting", MetricType::gauge, "closed files that HDFS does not have yet");
    out.sample(figures.files_waiting);
    out.metric("undercroft_hdfs_lag_seconds", MetricType::gauge, "how long the oldest of these has waited");
    out.sample(static_cast<double>(figures.lag_ns) / ns_per_s);
    out.metric("undercroft_hdfs_failing_seconds", MetricType::gauge, "since when uploads fail; 0: they do not");
    out.sample(static_cast<double>(figures.failing_for_ns) / ns_per_s);
}

} // namespace undercroft::collector
