// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/command.hpp"

#include <charconv>
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "analysis/commands.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {

void StoreOptions::add_to(CLI::App& command)
{
    command.add_option("STORE", store, "Folder written by undercroft collect")->required();
    command.add_option("--machine", machine, "Machine id, or how it begins");
    command.add_option("--boot", boot, "Boot id, or how it begins");
}

void SourceOption::add_to(CLI::App& command)
{
    command.add_option("--source", text,
                       "Only this disk: CONTROLLER:PORT, or the store's number (controller * 256 + port)");
}

std::optional<std::uint16_t> SourceOption::get() const
{
    if (text.empty())
        return {};
    bool const pair = text.find(':') != std::string::npos;
    auto const [high, low] = pair ? parse_pair(text, ':', "--source") : parse_pair("0:" + text, ':', "--source");
    if ((pair && (high > 255 || low > 255)) || low > 65535)
        throw Error{fmt::format("--source '{}' is out of range", text)};
    return static_cast<std::uint16_t>(high << 8 | low);
}

void on_run(CLI::App& command, int& exit_code, std::function<void()> body)
{
    command.callback([&exit_code, name = command.get_name(), body = std::move(body)] {
        try {
            body();
            exit_code = 0;
        } catch (std::exception const& error) {
            std::fflush(stdout);
            fmt::print(stderr, "undercroft {}: error: {}\n", name, error.what());
            exit_code = 1;
        }
    });
}

void write_file(std::filesystem::path const& file, std::string const& text)
{
    std::filesystem::path const part = file.string() + ".part";
    std::ofstream out{part, std::ios::binary};
    out << text;
    out.close();
    std::error_code error;
    if (out)
        std::filesystem::rename(part, file, error);
    if (!out || error)
        throw Error{fmt::format("{}: cannot be written", file.string())};
}

std::pair<std::uint64_t, std::uint64_t> parse_pair(std::string const& text, char separator, char const* option)
{
    std::pair<std::uint64_t, std::uint64_t> result;
    char const* const end = text.data() + text.size();
    auto const parse = [end](char const* from, std::uint64_t& value) {
        bool const hex = end - from > 2 && from[0] == '0' && from[1] == 'x';
        return std::from_chars(from + (hex ? 2 : 0), end, value, hex ? 16 : 10);
    };
    auto const first = parse(text.data(), result.first);
    if (first.ec == std::errc{} && first.ptr != end && *first.ptr == separator) {
        auto const second = parse(first.ptr + 1, result.second);
        if (second.ec == std::errc{} && second.ptr == end)
            return result;
    }
    throw Error{fmt::format("{} '{}' is not NUMBER{}NUMBER", option, text, separator)};
}

void register_analysis_commands(CLI::App& root, int& exit_code)
{
    register_heatmap(root, exit_code);
    register_export(root, exit_code);
    register_replay(root, exit_code);
    register_features(root, exit_code);
    register_info(root, exit_code);
    register_import(root, exit_code);
    register_training(root, exit_code);
    register_alerts(root, exit_code);
}

} // namespace undercroft::analysis
