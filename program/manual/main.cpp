// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Writes manual pages, completion and the configuration file's pattern, for packages.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "collector/config/config_file.hpp"
#include "program/command_tree.hpp"
#include "program/manual/outline.hpp"
#include "ucctl/commands.hpp"

namespace {

namespace fs = std::filesystem;
using namespace undercroft;
using namespace undercroft::program;

void write(fs::path const& path, std::string const& text)
{
    fs::create_directories(path.parent_path());
    std::ofstream file{path, std::ios::binary};
    if (!(file << text << std::flush))
        throw std::runtime_error{"cannot write " + path.string()};
}

/// Empty if there is no such file.
std::string read(fs::path const& path)
{
    std::ifstream file{path};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

struct Writer {
    fs::path out, additions;
    std::string date;

    void page(CommandOutline const& command) const
    {
        std::string const name = command.name("-");
        write(out / "man" / (name + ".1"),
              manual_page(command, read(additions / (name + ".txt")), UNDERCROFT_VERSION, date));
    }
    void completion(CommandOutline const& program) const
    {
        std::string const name = program.path.back();
        write(out / "bash" / name, bash_completion(program));
        write(out / "zsh" / ("_" + name), zsh_completion(program));
    }
};

} // namespace

int main(int argc, char** argv)
{
    if (argc != 4) {
        std::cerr << "usage: uc_manual OUT-FOLDER TEXT-FOLDER YYYY-MM-DD\n";
        return 2;
    }
    try {
        Writer const writer{argv[1], argv[2], argv[3]};
        int exit_code = 0;
        auto const root = command_tree(exit_code);
        CommandOutline const program = outline(*root);
        writer.page(program);
        for (CommandOutline const& command : program.children)
            writer.page(command);
        writer.completion(program);
        write(writer.out / "collector.toml", collector::config_text(*root->get_subcommand("collect")));

        CLI::App control{"", "ucctl"};
        ucctl::Options options;
        control_cli::MemoryArguments memory;
        ucctl::add_commands(control, options, memory);
        writer.page(outline(control));
        writer.completion(outline(control));
        return 0;
    } catch (std::exception const& error) {
        std::cerr << "uc_manual: " << error.what() << '\n';
        return 1;
    }
}
