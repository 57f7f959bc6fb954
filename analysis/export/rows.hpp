// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One record as lines of text: RanSAP, RanSMAP (docs/formats/ransap.md) and our own CSV.
#include <cstdint>
#include <optional>
#include <string>

#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

enum class ExportFormat : std::uint8_t { ransap, ransmap, csv };
enum class TimeScale : std::uint8_t { ns, ransap };

/// Whole seconds and the rest: nanoseconds, or RanSAP's n of 2^30 per second, rounded down.
struct SplitTime {
    std::uint64_t seconds{};
    std::uint64_t rest{};
};
[[nodiscard]] SplitTime split_time(std::int64_t time_ns, TimeScale scale);

/// The entropy columns of a write, ready to print. `data` is null when the content is not known: then the
/// first comes from the record and the second is 0.
struct EntropyText {
    std::string whole;
    std::string parts;
};
[[nodiscard]] EntropyText entropy_text(RecordRow const& row, std::string const* data, ExportFormat format);

/// Appends the record's lines, none for records that are neither read nor write: one per 4,096 bytes, the
/// LBA going up by 8. Returns how many.
std::uint64_t append_ata_lines(std::string& out, RecordRow const& row, std::string const* data, ExportFormat format,
                               TimeScale scale);

inline constexpr char csv_header[] = "seq,time_ns,time,kind,lba,bytes,source,entropy,flags,content\n";
void append_csv_line(std::string& out, RecordRow const& row);

} // namespace undercroft::analysis
