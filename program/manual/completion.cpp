// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "program/manual/outline.hpp"

namespace undercroft::program {
namespace {

constexpr auto licence = "# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0\n"
                         "# Made from the program's own options.\n";

std::string joined(std::vector<std::string> const& words, std::string const& separator)
{
    std::string out;
    for (std::string const& word : words)
        out += (out.empty() ? "" : separator) + word;
    return out;
}

enum class Completes : std::uint8_t { nothing, files, folders, choices };

Completes completes(OptionOutline const& option)
{
    if (!option.choices.empty())
        return Completes::choices;
    if (option.type == "DIR" || (option.positional && option.names.front() == "store"))
        return Completes::folders;
    return option.type == "FILE" || option.positional ? Completes::files : Completes::nothing;
}

/// Path below the program: "/preflight/collector".
std::string place(CommandOutline const& command)
{
    std::string out;
    for (std::size_t i = 1; i < command.path.size(); ++i)
        out += "/" + command.path[i];
    return out;
}

/// Lines of the three tables of the bash function, for one command and all below it.
struct BashTables {
    std::string commands, valued, values, words;

    void add(CommandOutline const& command);
};

void BashTables::add(CommandOutline const& command)
{
    std::string const here = place(command);
    std::string list;
    std::string files;
    for (OptionOutline const& option : command.options) {
        if (option.positional) {
            files = completes(option) == Completes::folders ? "-d" : "-f";
            continue;
        }
        for (std::string const& name : option.names)
            list += (list.empty() ? "" : " ") + name;
        if (option.type.empty())
            continue;
        std::string pattern;
        for (std::string const& name : option.names)
            pattern += fmt::format("{}'{}:{}'", pattern.empty() ? "" : " | ", here, name);
        valued += fmt::format("        {}) ((i++)) ;;\n", pattern);
        std::string const action = completes(option) == Completes::choices
                                       ? fmt::format("-W '{}'", joined(option.choices, " "))
                                   : completes(option) == Completes::folders ? "-d"
                                   : completes(option) == Completes::files   ? "-f"
                                                                             : "";
        values += action.empty() ? fmt::format("    {}) return ;;\n", pattern)
                                 : fmt::format("    {}) mapfile -t COMPREPLY < <(compgen {} -- \"$cur\"); return ;;\n",
                                               pattern, action);
    }
    for (CommandOutline const& child : command.children) {
        commands += fmt::format("        '{}:{}') path='{}' ;;\n", here, child.path.back(), place(child));
        list += (list.empty() ? "" : " ") + child.path.back();
    }
    words += fmt::format("    '{}') words='{}' files='{}' ;;\n", here, list, files);
    for (CommandOutline const& child : command.children)
        add(child);
}

/// Inside single quotes of zsh, inside [] of _arguments or behind : of _describe.
std::string zsh_text(std::string const& text)
{
    std::string out;
    for (char const c : text) {
        if (c == '\n')
            break;
        if (c == '\'')
            out += "'\\''";
        else if (c == '[' || c == ']' || c == ':' || c == '\\')
            out += std::string{'\\', c};
        else
            out += c;
    }
    return out;
}

std::string zsh_action(OptionOutline const& option)
{
    switch (completes(option)) {
    case Completes::choices:
        return "(" + joined(option.choices, " ") + ")";
    case Completes::folders:
        return "_files -/";
    case Completes::files:
        return "_files";
    default:
        return " ";
    }
}

void add_zsh_function(CommandOutline const& command, std::string& out)
{
    std::string const function = "_" + command.name("_");
    out += fmt::format("{}() {{\n    local context state line\n    local -a commands\n    _arguments -C", function);
    for (OptionOutline const& option : command.options) {
        std::string const value =
            option.type.empty() ? "" : fmt::format(":{}:{}", zsh_text(option.type), zsh_action(option));
        if (option.positional)
            out += fmt::format(" \\\n        '*:{}:{}'", zsh_text(option.names.front()), zsh_action(option));
        else
            for (std::string const& name : option.names)
                out += fmt::format(" \\\n        '{}[{}]{}'", name, zsh_text(option.text), value);
    }
    if (!command.children.empty())
        out += " \\\n        '1:command:->command' \\\n        '*::argument:->argument'";
    out += "\n";
    if (!command.children.empty()) {
        out += "    case $state in\n    command)\n        commands=(\n";
        for (CommandOutline const& child : command.children)
            out += fmt::format("            '{}:{}'\n", child.path.back(), zsh_text(child.text));
        out += "        )\n        _describe command commands ;;\n    argument)\n        case $line[1] in\n";
        for (CommandOutline const& child : command.children)
            out += fmt::format("        {}) _{} ;;\n", child.path.back(), child.name("_"));
        out += "        esac ;;\n    esac\n";
    }
    out += "}\n";
    for (CommandOutline const& child : command.children)
        add_zsh_function(child, out);
}

} // namespace

std::string bash_completion(CommandOutline const& program)
{
    BashTables tables;
    tables.add(program);
    std::string const name = program.path.back();
    return fmt::format(
        "# shellcheck shell=bash\n{0}_{1}() {{\n"
        "    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} path='' words='' "
        "files='' i\n"
        "    COMPREPLY=()\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        case \"$path:${{COMP_WORDS[i]}}\" in\n{2}{3}        esac\n"
        "    done\n"
        "    case \"$path:$prev\" in\n{4}    esac\n"
        "    case \"$path\" in\n{5}    esac\n"
        "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
        "    if [[ -n $files && $cur != -* ]]; then\n"
        "        mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen \"$files\" -- \"$cur\")\n"
        "    fi\n"
        "}}\n"
        "complete -o filenames -F _{1} {1}\n",
        licence, name, tables.commands, tables.valued, tables.values, tables.words);
}

std::string zsh_completion(CommandOutline const& program)
{
    std::string functions;
    add_zsh_function(program, functions);
    std::string const name = program.path.back();
    return fmt::format("#compdef {0}\n{1}{2}_{0} \"$@\"\n", name, licence, functions);
}

} // namespace undercroft::program
