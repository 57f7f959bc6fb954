// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The few drawing operations that pictures need, on cairo.
#include <filesystem>
#include <string>

#include <cairo.h>

#include "analysis/heatmap/colour.hpp"
#include "analysis/heatmap/picture.hpp"

namespace undercroft::analysis {

enum class Align : std::uint8_t { left, centre, right };

class Canvas {
public:
    Canvas(PictureSize size, PictureFormat format, std::filesystem::path const& file);
    ~Canvas();
    Canvas(Canvas const&) = delete;
    Canvas& operator=(Canvas const&) = delete;

    /// Writes the file (under its final name only when complete). Throws Error.
    void finish();

    void rectangle(double x, double y, double width, double height, Rgb const& fill);
    void frame(double x, double y, double width, double height);
    void line(double x0, double y0, double x1, double y1, Rgb const& colour, double width);
    /// Diagonal lines inside the rectangle.
    void hatch(double x, double y, double width, double height, Rgb const& colour);
    void triangle_down(double x, double y, double size, Rgb const& colour);
    /// `y` is the middle of the text's height. Lines are separated by '\n'.
    void text(double x, double y, std::string const& text, double size, Align align, bool bold = false);
    /// Reads from bottom to top, centred on (x, y).
    void vertical_text(double x, double y, std::string const& text, double size);
    [[nodiscard]] double text_width(std::string const& text, double size, bool bold = false);

private:
    void set_font(double size, bool bold);
    void set_colour(Rgb const& colour) { cairo_set_source_rgb(context_, colour.r, colour.g, colour.b); }

    PictureFormat format_;
    std::filesystem::path file_;
    std::filesystem::path part_;
    cairo_surface_t* surface_{};
    cairo_t* context_{};
};

} // namespace undercroft::analysis
