// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The probabilities of a disk's windows: STORE/scores/… (docs/formats/alerts.md).
#include <filesystem>
#include <string>

#include "analysis/detect/alert.hpp"

namespace undercroft::analysis {

class ScoreLog {
public:
    ScoreLog(std::filesystem::path const& store, DiskName const& disk, ModelFile const& file, Model const& model);

    /// Deletes what is there: the trace is judged again.
    void start_over();
    /// Scores until the end of what is there are left out: the detector was started again.
    void go_on();
    void add(WindowScore const& score);
    /// Writes what was added. Throws Error.
    void flush();

private:
    std::filesystem::path folder_;
    std::string header_;
    std::string day_; ///< of the text
    std::string text_;
    std::int64_t after_ns_ = 0;
    bool header_written_ = false;
};

} // namespace undercroft::analysis
