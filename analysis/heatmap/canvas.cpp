// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/canvas.hpp"

#include <cmath>
#include <sstream>

#include <cairo-svg.h>
#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr Rgb ink{0.13, 0.13, 0.15};

} // namespace

Canvas::Canvas(PictureSize size, PictureFormat format, std::filesystem::path const& file)
    : format_{format}, file_{file}, part_{file.string() + ".part"}
{
    surface_ = format == PictureFormat::svg ? cairo_svg_surface_create(part_.c_str(), size.width, size.height)
                                            : cairo_image_surface_create(CAIRO_FORMAT_RGB24, size.width, size.height);
    context_ = cairo_create(surface_);
    rectangle(0, 0, size.width, size.height, {1, 1, 1});
}

Canvas::~Canvas()
{
    cairo_destroy(context_);
    cairo_surface_destroy(surface_);
    std::error_code ignored;
    std::filesystem::remove(part_, ignored);
}

void Canvas::finish()
{
    cairo_status_t status = cairo_status(context_);
    cairo_surface_flush(surface_);
    if (status == CAIRO_STATUS_SUCCESS && format_ == PictureFormat::png)
        status = cairo_surface_write_to_png(surface_, part_.c_str());
    cairo_surface_finish(surface_);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(surface_);
    std::error_code error;
    if (status == CAIRO_STATUS_SUCCESS)
        std::filesystem::rename(part_, file_, error);
    if (status != CAIRO_STATUS_SUCCESS || error)
        throw Error{fmt::format("{}: cannot be written: {}", file_.string(),
                                error ? error.message() : cairo_status_to_string(status))};
}

void Canvas::rectangle(double x, double y, double width, double height, Rgb const& fill)
{
    set_colour(fill);
    // Without smoothing, neighbouring cells meet without a seam.
    cairo_set_antialias(context_, CAIRO_ANTIALIAS_NONE);
    cairo_rectangle(context_, x, y, width, height);
    cairo_fill(context_);
    cairo_set_antialias(context_, CAIRO_ANTIALIAS_DEFAULT);
}

void Canvas::frame(double x, double y, double width, double height)
{
    set_colour(ink);
    cairo_set_line_width(context_, 1);
    cairo_rectangle(context_, x - 0.5, y - 0.5, width + 1, height + 1);
    cairo_stroke(context_);
}

void Canvas::line(double x0, double y0, double x1, double y1, Rgb const& colour, double width)
{
    set_colour(colour);
    cairo_set_line_width(context_, width);
    cairo_move_to(context_, x0, y0);
    cairo_line_to(context_, x1, y1);
    cairo_stroke(context_);
}

void Canvas::hatch(double x, double y, double width, double height, Rgb const& colour)
{
    constexpr double spacing = 8;
    cairo_save(context_);
    cairo_rectangle(context_, x, y, width, height);
    cairo_clip(context_);
    set_colour(colour);
    cairo_set_line_width(context_, 1.5);
    // Lines start at multiples of the spacing from the origin, so that neighbouring hatched areas join.
    for (double at = std::floor((x - y - height) / spacing) * spacing; at < x + width - y; at += spacing) {
        cairo_move_to(context_, at + y, y);
        cairo_line_to(context_, at + y + height, y + height);
    }
    cairo_stroke(context_);
    cairo_restore(context_);
}

void Canvas::triangle_down(double x, double y, double size, Rgb const& colour)
{
    set_colour(colour);
    cairo_move_to(context_, x, y);
    cairo_line_to(context_, x - size * 0.6, y - size);
    cairo_line_to(context_, x + size * 0.6, y - size);
    cairo_close_path(context_);
    cairo_fill(context_);
}

void Canvas::set_font(double size, bool bold)
{
    cairo_select_font_face(context_, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(context_, size);
}

double Canvas::text_width(std::string const& text, double size, bool bold)
{
    set_font(size, bold);
    cairo_text_extents_t extents;
    cairo_text_extents(context_, text.c_str(), &extents);
    return extents.x_advance;
}

void Canvas::text(double x, double y, std::string const& text, double size, Align align, bool bold)
{
    std::istringstream lines{text};
    std::string one;
    for (double baseline = y + size * 0.36; std::getline(lines, one); baseline += size * 1.35) {
        double const width = text_width(one, size, bold);
        double const shift = align == Align::left ? 0 : align == Align::right ? width : width / 2;
        set_colour(ink);
        cairo_move_to(context_, std::round(x - shift), baseline);
        cairo_show_text(context_, one.c_str());
    }
}

void Canvas::vertical_text(double x, double y, std::string const& text, double size)
{
    cairo_save(context_);
    cairo_translate(context_, x, y);
    cairo_rotate(context_, -std::acos(-1.0) / 2);
    this->text(0, 0, text, size, Align::centre);
    cairo_restore(context_);
}

} // namespace undercroft::analysis
