// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/command.hpp"
#include "analysis/heatmap/memory_render.hpp"
#include "analysis/heatmap/render.hpp"
#include "analysis/heatmap/ticks.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

struct HeatmapCommand {
    StoreOptions store;
    SourceOption source;
    HeatmapRequest request;
    std::string out = "heatmap";
    std::string stream = "storage";
    std::string lba_range = "densest";
    std::string address_range = "all";
    std::string size = "1600x900";
    std::string bins;
    std::string scale = "linear";
    std::string format = "png";
    std::string count = "blocks";
    double max{};
    bool json{};

    void add_to(CLI::App& command);
    void run();

private:
    void parse_range();
    void run_storage(Boot const& boot, RenderOptions const& options);
    void run_memory(Boot const& boot, RenderOptions const& options);
    void finish(nlohmann::json summary, nlohmann::json grids, std::vector<std::string> files,
                std::string const& text) const;
    [[nodiscard]] RenderOptions parse_render_options() const;
    void parse_bins(PictureSize plot);
};

void HeatmapCommand::add_to(CLI::App& command)
{
    store.add_to(command);
    source.add_to(command);
    command.add_option("--stream", stream, "What to draw: disks (storage) or memory")
        ->check(CLI::IsMember({"storage", "memory"}))
        ->capture_default_str();
    command.add_option("--out", out, "Beginning of the names of the files written")->capture_default_str();
    command.add_option("--from", request.from,
                       "Start: 2026-11-22T05:47:03Z, +12.5s after the first record, or seconds since 1970");
    command.add_option("--to", request.to, "End (excluded), written like --from");
    command.add_option("--window", request.window, "Length, as 60s: after --from, or of the busiest such stretch");
    command.add_option("--lba-range", lba_range, "FIRST-END in 512-byte sectors (END excluded), densest, or all")
        ->capture_default_str();
    command
        .add_option("--address-range", address_range,
                    "Memory: guest-physical FIRST-END (END excluded; 0x... or decimal), densest, or all")
        ->capture_default_str();
    command.add_option("--size", size, "Size of a picture in pixels")->capture_default_str();
    command.add_option("--bins", bins, "At most this many cells (default: cells of 4 x 4 pixels)");
    command.add_option("--scale", scale, "Colour scale")
        ->check(CLI::IsMember({"linear", "log"}))
        ->capture_default_str();
    command.add_option("--max", max, "Count at the top of the colour scale (default: the fullest cell)")
        ->check(CLI::PositiveNumber);
    command
        .add_option("--count", count, "What a cell counts: 4 KiB blocks touched, or requests, each at its first block")
        ->check(CLI::IsMember({"blocks", "requests"}))
        ->capture_default_str();
    command.add_option("--format", format, "Of the pictures")
        ->check(CLI::IsMember({"png", "svg"}))
        ->capture_default_str();
    command.add_flag("--json", json, "Print the summary as JSON");
}

void HeatmapCommand::parse_range()
{
    bool const memory = stream == "memory";
    std::string const& text = memory ? address_range : lba_range;
    char const* const option = memory ? "--address-range" : "--lba-range";
    request.lba = text == "densest" ? LbaChoice::densest : text == "all" ? LbaChoice::all : LbaChoice::given;
    if (request.lba != LbaChoice::given)
        return;
    std::tie(request.first_lba, request.end_lba) = parse_pair(text, '-', option);
    if (request.first_lba >= request.end_lba)
        throw Error{fmt::format("{} '{}' is empty", option, text)};
}

RenderOptions HeatmapCommand::parse_render_options() const
{
    auto const [width, height] = parse_pair(size, 'x', "--size");
    auto const inside = [](std::uint64_t value, int least, int most) {
        return value >= static_cast<std::uint64_t>(least) && value <= static_cast<std::uint64_t>(most);
    };
    if (!inside(width, smallest_picture.width, largest_picture.width) ||
        !inside(height, smallest_picture.height, largest_picture.height))
        throw Error{fmt::format("--size must be between {}x{} and {}x{}", smallest_picture.width,
                                smallest_picture.height, largest_picture.width, largest_picture.height)};
    return {.size = {.width = static_cast<int>(width), .height = static_cast<int>(height)},
            .format = format == "svg" ? PictureFormat::svg : PictureFormat::png,
            .logarithmic = scale == "log",
            .max = max};
}

void HeatmapCommand::parse_bins(PictureSize plot)
{
    auto const [columns, rows] = bins.empty() ? std::pair<std::uint64_t, std::uint64_t>{plot.width / 4, plot.height / 4}
                                              : parse_pair(bins, 'x', "--bins");
    if (columns < 1 || rows < 1 || columns > static_cast<std::uint64_t>(plot.width) ||
        rows > static_cast<std::uint64_t>(plot.height))
        throw Error{
            fmt::format("--bins must be between 1x1 and {}x{}, the pixels of the plot; a larger --size has more",
                        plot.width, plot.height)};
    request.max_columns = static_cast<std::uint32_t>(columns);
    request.max_rows = static_cast<std::uint32_t>(rows);
}

void HeatmapCommand::finish(nlohmann::json summary, nlohmann::json grids, std::vector<std::string> files,
                            std::string const& text) const
{
    nlohmann::json document = summary;
    document["grids"] = std::move(grids);
    write_file(out + ".json", document.dump() + "\n");
    files.push_back(out + ".json");
    if (json) {
        summary["files"] = files;
        fmt::print("{}\n", summary.dump(2));
        return;
    }
    fmt::print("{}\n", text);
    for (std::string const& file : files)
        fmt::print("{}\n", file);
}

void HeatmapCommand::run_storage(Boot const& boot, RenderOptions const& options)
{
    request.source = source.get();
    request.count = count == "blocks" ? CountMode::blocks : CountMode::requests;
    Heatmap const map = make_heatmap(boot, request);
    std::vector<std::string> files;
    for (MapKind const kind : {MapKind::read, MapKind::write, MapKind::write_entropy}) {
        files.push_back(fmt::format("{}-{}.{}", out, to_string(kind), format));
        draw(make_picture(boot, request, map, kind, options), options.size, options.format, files.back());
    }
    finish(describe(boot, request, map), grids(map), files,
           fmt::format("{} reads and {} writes counted in {} x {} cells; {} records lost",
                       group_thousands(map.read_totals.shown), group_thousands(map.write_totals.shown),
                       map.shape.columns, map.shape.rows, group_thousands(map.lost)));
}

void HeatmapCommand::run_memory(Boot const& boot, RenderOptions const& options)
{
    MemoryHeatmap const map = make_memory_heatmap(boot, request);
    std::vector<std::string> files;
    for (MemoryMapKind const kind :
         {MemoryMapKind::read, MemoryMapKind::write, MemoryMapKind::execute, MemoryMapKind::write_entropy}) {
        files.push_back(fmt::format("{}-{}.{}", out, to_string(kind), format));
        draw(make_memory_picture(boot, request, map, kind, options), options.size, options.format, files.back());
    }
    finish(describe_memory(boot, request, map), memory_grids(map), files,
           fmt::format("{} reads, {} writes and {} executions of pages in {} x {} cells; {} records lost",
                       group_thousands(map.totals[0].records), group_thousands(map.totals[1].records),
                       group_thousands(map.totals[2].records), map.shape.columns, map.shape.rows,
                       group_thousands(map.lost)));
}

void HeatmapCommand::run()
{
    parse_range();
    RenderOptions const options = parse_render_options();
    parse_bins(plot_area(options.size));
    Boot const boot = store.select();
    if (stream == "memory")
        run_memory(boot, options);
    else
        run_storage(boot, options);
}

} // namespace

void register_heatmap(CLI::App& root, int& exit_code)
{
    CLI::App* const command = root.add_subcommand("heatmap", "Draw accesses of disks or memory over time and address");
    auto const self = std::make_shared<HeatmapCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
