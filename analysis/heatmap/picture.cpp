// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/picture.hpp"

#include <algorithm>
#include <cmath>

#include "analysis/heatmap/canvas.hpp"
#include "analysis/heatmap/ticks.hpp"

namespace undercroft::analysis {
namespace {

constexpr double label_size = 13;
constexpr double title_size = 19;
constexpr double note_size = 13;
constexpr Rgb grid_colour{0.87, 0.87, 0.87};
constexpr Rgb tick_colour{0.13, 0.13, 0.15};
constexpr Rgb gap_fill{0.83, 0.83, 0.83};
constexpr Rgb gap_lines{0.45, 0.45, 0.45};
constexpr Rgb fold_colour{0.25, 0.25, 0.28};

struct Box {
    double x{};
    double y{};
    double width{};
    double height{};
};

/// Margins hold: left the LBA labels; right the offset labels and the legend; above title and notes.
Box plot_box(PictureSize size)
{
    constexpr double left = 155;
    constexpr double right = 255;
    constexpr double above = 108;
    constexpr double below = 74;
    return {.x = left, .y = above, .width = size.width - left - right, .height = size.height - above - below};
}

class Plot {
public:
    Plot(Picture const& picture, PictureSize size, Canvas& canvas)
        : picture_{picture}, canvas_{canvas}, box_{plot_box(size)},
          span_ns_{static_cast<double>(picture.shape.cell_ns) * picture.shape.columns},
          first_lba_{static_cast<double>(picture.shape.first_block) * sectors_per_block},
          span_lba_{static_cast<double>(picture.shape.cell_blocks) * picture.shape.rows * sectors_per_block}
    {
    }

    void draw_all()
    {
        draw_heading();
        canvas_.rectangle(box_.x, box_.y, box_.width, box_.height, zero_colour);
        draw_unseen();
        std::vector<std::pair<double, double>> const gaps = gap_columns();
        for (auto const& [from, to] : gaps)
            canvas_.rectangle(from, box_.y, to - from, box_.height, gap_fill);
        draw_grid_lines();
        bool const any = draw_cells();
        for (double const fold : picture_.folds)
            canvas_.line(box_.x, y_of(fold) + 0.5, box_.x + box_.width, y_of(fold) + 0.5, fold_colour, 1);
        for (auto const& [from, to] : gaps) {
            canvas_.hatch(from, box_.y, to - from, box_.height, gap_lines);
            canvas_.triangle_down((from + to) / 2, box_.y - 1, 7, gap_lines);
        }
        if (!any)
            canvas_.text(box_.x + box_.width / 2, box_.y + box_.height / 2, picture_.empty_note, 17, Align::centre);
        canvas_.frame(box_.x, box_.y, box_.width, box_.height);
        draw_axes();
        draw_legend();
    }

private:
    [[nodiscard]] double x_of(double ns) const { return std::round(box_.x + ns / span_ns_ * box_.width); }
    [[nodiscard]] double y_of(double lba) const
    {
        return std::round(box_.y + box_.height - (lba - first_lba_) / span_lba_ * box_.height);
    }

    void draw_heading()
    {
        double y = 26;
        double const room = box_.width + 240;
        double const wide = canvas_.text_width(picture_.title, title_size, true);
        canvas_.text(box_.x, y, picture_.title, title_size * std::min(1.0, room / wide), Align::left, true);
        y += 25;
        double size = note_size;
        std::vector<std::string> lines = break_notes(size);
        while (lines.size() > 3 && size > 8)
            lines = break_notes(--size);
        for (std::string const& line : lines) {
            canvas_.text(box_.x, y, line, size, Align::left);
            y += 18;
        }
    }

    [[nodiscard]] std::vector<std::string> break_notes(double size)
    {
        double const room = box_.width + 240;
        std::vector<std::string> lines;
        for (std::string const& note : picture_.notes) {
            std::string const joined = lines.empty() ? note : lines.back() + "  ·  " + note;
            if (!lines.empty() && canvas_.text_width(joined, size) <= room)
                lines.back() = joined;
            else
                lines.push_back(note);
        }
        return lines;
    }

    /// Pixel columns of gaps, at least three pixels wide, touching ones joined.
    [[nodiscard]] std::vector<std::pair<double, double>> gap_columns() const
    {
        std::vector<std::pair<double, double>> columns;
        for (GapSpan const& gap : picture_.gaps) {
            double const from_ns = static_cast<double>(gap.from_ns - picture_.shape.from_ns);
            double const to_ns = static_cast<double>(gap.to_ns - picture_.shape.from_ns);
            if (to_ns < 0 || from_ns > span_ns_)
                continue;
            double from = std::clamp(x_of(from_ns), box_.x, box_.x + box_.width - 3);
            double const to = std::clamp(std::max(x_of(to_ns), from + 3), from, box_.x + box_.width);
            if (!columns.empty() && columns.back().second >= from - 1)
                columns.back().second = std::max(columns.back().second, to);
            else
                columns.emplace_back(from, to);
        }
        return columns;
    }

    void draw_grid_lines()
    {
        for (Tick const& tick : time_ticks().ticks)
            canvas_.line(x_of(tick.position) + 0.5, box_.y, x_of(tick.position) + 0.5, box_.y + box_.height,
                         grid_colour, 1);
        for (Tick const& tick : left_ticks().ticks)
            canvas_.line(box_.x, y_of(tick.position) + 0.5, box_.x + box_.width, y_of(tick.position) + 0.5, grid_colour,
                         1);
    }

    [[nodiscard]] Rgb cell_colour(double share) const
    {
        return std::isnan(share) ? unknown_colour : heat_colour(share);
    }

    void draw_cell(std::uint32_t column, std::uint32_t row, Rgb const& colour)
    {
        GridShape const& shape = picture_.shape;
        double const top = std::round(box_.y + box_.height - box_.height * (row + 1) / shape.rows);
        double const bottom = std::round(box_.y + box_.height - box_.height * row / shape.rows);
        double const left = std::round(box_.x + box_.width * column / shape.columns);
        double const right = std::round(box_.x + box_.width * (column + 1) / shape.columns);
        canvas_.rectangle(left, top, right - left, bottom - top, colour);
    }

    bool draw_cells()
    {
        bool any = false;
        for (std::uint32_t row = 0; row < picture_.shape.rows; ++row) {
            for (std::uint32_t column = 0; column < picture_.shape.columns; ++column) {
                if (std::optional<double> const share = picture_.share(column, row)) {
                    any = true;
                    draw_cell(column, row, cell_colour(*share));
                }
            }
        }
        return any;
    }

    /// The less of a cell was looked at, the more of its background is that of the unseen.
    void draw_unseen()
    {
        if (!picture_.looked_at)
            return;
        for (std::uint32_t row = 0; row < picture_.shape.rows; ++row) {
            for (std::uint32_t column = 0; column < picture_.shape.columns; ++column) {
                double const seen = picture_.looked_at(column, row);
                auto const mix = [&](double a, double b) { return a + (b - a) * seen; };
                if (seen < 1)
                    draw_cell(column, row,
                              {.r = mix(unseen_colour.r, zero_colour.r),
                               .g = mix(unseen_colour.g, zero_colour.g),
                               .b = mix(unseen_colour.b, zero_colour.b)});
            }
        }
    }

    [[nodiscard]] Axis time_ticks() const
    {
        return time_axis(picture_.shape.from_ns, picture_.shape.from_ns + static_cast<std::int64_t>(span_ns_),
                         static_cast<int>(box_.width / 80));
    }
    [[nodiscard]] Axis left_ticks() const
    {
        int const most = static_cast<int>(box_.height / 50);
        return picture_.left_axis ? picture_.left_axis(most) : lba_axis(first_lba_, first_lba_ + span_lba_, most);
    }
    [[nodiscard]] Axis right_ticks() const
    {
        int const most = static_cast<int>(box_.height / 50);
        return picture_.right_axis ? picture_.right_axis(most) : offset_axis(first_lba_, first_lba_ + span_lba_, most);
    }

    void draw_axes()
    {
        double const right = box_.x + box_.width;
        double const bottom = box_.y + box_.height;
        Axis const time = time_ticks();
        for (Tick const& tick : time.ticks) {
            double const x = x_of(tick.position) + 0.5;
            canvas_.line(x, bottom, x, bottom + 5, tick_colour, 1);
            canvas_.text(x, bottom + 15, tick.label, label_size, Align::centre);
        }
        canvas_.text(box_.x + box_.width / 2, bottom + 53, time.title, label_size + 1, Align::centre);
        Axis const left = left_ticks();
        for (Tick const& tick : left.ticks) {
            double const y = y_of(tick.position) + 0.5;
            canvas_.line(box_.x - 5, y, box_.x, y, tick_colour, 1);
            canvas_.text(box_.x - 9, y, tick.label, label_size, Align::right);
        }
        canvas_.vertical_text(18, box_.y + box_.height / 2, left.title, label_size + 1);
        Axis const offset = right_ticks();
        double widest = 0;
        for (Tick const& tick : offset.ticks) {
            double const y = y_of(tick.position) + 0.5;
            canvas_.line(right, y, right + 5, y, tick_colour, 1);
            canvas_.text(right + 9, y, tick.label, label_size, Align::left);
            widest = std::max(widest, canvas_.text_width(tick.label, label_size));
        }
        canvas_.vertical_text(right + 9 + widest + 16, box_.y + box_.height / 2, offset.title, label_size + 1);
    }

    void draw_legend()
    {
        double const x = box_.x + box_.width + 135;
        double const bar = 22;
        double const extras = 30.0 * (1 + (picture_.unknown_in_legend ? 1 : 0) + (picture_.gaps.empty() ? 0 : 1) +
                                      (picture_.looked_at ? 1 : 0));
        double const height = box_.height - extras - 44;
        double const top = box_.y + 44;
        canvas_.text(x, box_.y + 6, picture_.legend_title, label_size, Align::left);
        for (int i = 0; i < static_cast<int>(height); ++i)
            canvas_.rectangle(x, top + height - 1 - i, bar, 1, heat_colour(i / (height - 1)));
        canvas_.frame(x, top, bar, std::floor(height));
        for (auto const& [share, label] : picture_.legend) {
            double const y = std::round(top + height - share * height) + 0.5;
            canvas_.line(x + bar, y, x + bar + 5, y, tick_colour, 1);
            canvas_.text(x + bar + 9, y, label, label_size, Align::left);
        }
        double y = top + height + 12;
        auto const swatch = [&](Rgb const& colour, bool hatched, std::string const& label) {
            canvas_.rectangle(x, y, bar, 16, colour);
            if (hatched)
                canvas_.hatch(x, y, bar, 16, gap_lines);
            canvas_.frame(x, y, bar, 16);
            canvas_.text(x + bar + 9, y + 8, label, label_size, Align::left);
            y += 28;
        };
        swatch(zero_colour, false, "no access");
        if (picture_.looked_at)
            swatch(unseen_colour, false, "not looked at");
        if (picture_.unknown_in_legend)
            swatch(unknown_colour, false, "unknown");
        if (!picture_.gaps.empty())
            swatch(gap_fill, true, picture_.gap_label);
    }

    Picture const& picture_;
    Canvas& canvas_;
    Box box_;
    double span_ns_;
    double first_lba_;
    double span_lba_;
};

} // namespace

PictureSize plot_area(PictureSize picture)
{
    Box const box = plot_box(picture);
    return {.width = static_cast<int>(box.width), .height = static_cast<int>(box.height)};
}

void draw(Picture const& picture, PictureSize size, PictureFormat format, std::filesystem::path const& file)
{
    Canvas canvas{size, format, file};
    Plot{picture, size, canvas}.draw_all();
    canvas.finish();
}

} // namespace undercroft::analysis
