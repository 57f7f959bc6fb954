// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/score_log.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "analysis/detect/line_file.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t most_waiting = std::size_t{1} << 20;

} // namespace

ScoreLog::ScoreLog(fs::path const& store, DiskName const& disk, ModelFile const& file, Model const& model)
    : folder_{store / "scores" / ("machine=" + disk.machine) / ("boot=" + disk.boot) /
              fmt::format("source={}", disk.source)}
{
    nlohmann::json const header{{"format", 1},
                                {"model", file.name},
                                {"track", model.track},
                                {"kind", to_string(model.kind)},
                                {"threshold", model.threshold},
                                {"consecutive", model.consecutive},
                                {"step_ns", model.view.step_ns},
                                {"windows_ns", model.view.windows_ns}};
    header_ = header.dump() + "\n";
}

void ScoreLog::start_over()
{
    std::error_code none;
    fs::remove_all(folder_, none);
}

void ScoreLog::go_on()
{
    LineFollower follower{folder_};
    follower.read([this](nlohmann::json const& line) {
        if (line.is_object() && line.contains("end_ns") && line["end_ns"].is_number_integer())
            after_ns_ = std::max(after_ns_, line["end_ns"].get<std::int64_t>());
    });
}

void ScoreLog::add(WindowScore const& score)
{
    if (score.end_ns <= after_ns_)
        return;
    if (text_.size() > most_waiting)
        text_.clear(); // the store cannot be written, and has said so
    std::string const day = format_date(score.end_ns);
    if (day != day_) {
        flush();
        day_ = day;
        header_written_ = false;
    }
    text_ += fmt::format("{{\"end_ns\":{},\"p\":{:.6g},\"alarm\":{}}}\n", score.end_ns, score.probability, score.alarm);
}

void ScoreLog::flush()
{
    if (text_.empty())
        return;
    append_text(folder_ / (day_ + ".jsonl"), (header_written_ ? "" : header_) + text_, false);
    header_written_ = true;
    text_.clear();
}

} // namespace undercroft::analysis
