// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include <fmt/format.h>

#include "program/manual/outline.hpp"

namespace undercroft::program {
namespace {

/// Text as roff takes it: no control line, no escape, hyphens that can be copied.
std::string roff(std::string const& text)
{
    std::string out;
    bool line_start = true;
    for (char const c : text) {
        if (line_start && (c == '.' || c == '\''))
            out += "\\&";
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else
            out += c;
        line_start = c == '\n';
    }
    return out;
}

std::string bold(std::string const& text)
{
    return "\\fB" + roff(text) + "\\fR";
}

std::string italic(std::string const& text)
{
    return "\\fI" + roff(text) + "\\fR";
}

std::string upper(std::string text)
{
    for (char& c : text)
        if (c >= 'a' && c <= 'z')
            c = static_cast<char>(c - 'a' + 'A');
    return text;
}

/// Up to the first line's end, without a full stop.
std::string first_line(std::string const& text)
{
    std::string line = text.substr(0, text.find('\n'));
    while (line.ends_with('.'))
        line.pop_back();
    return line;
}

/// Lines to paragraphs; lines that begin with two blanks stay lines.
std::string paragraphs(std::string const& text)
{
    std::istringstream lines{text};
    std::string out;
    bool verbatim = false;
    bool empty = true; // a paragraph mark right after a heading or another one is a mistake to mandoc
    auto const leave_verbatim = [&] {
        if (std::exchange(verbatim, false))
            out += ".EE\n.RE\n";
    };
    bool pending_break = false;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(".\\\"")) // a comment, as in roff
            continue;
        if (line.starts_with("# ")) {
            leave_verbatim();
            out += ".SH " + roff(line.substr(2)) + "\n";
            empty = true;
            pending_break = false;
        } else if (line.empty()) {
            leave_verbatim();
            pending_break = !empty;
        } else if (line.starts_with("  ")) {
            if (!std::exchange(verbatim, true))
                out += ".RS 4\n.EX\n";
            out += roff(line.substr(2)) + "\n";
            empty = false;
            pending_break = false;
        } else {
            leave_verbatim();
            if (std::exchange(pending_break, false))
                out += ".PP\n";
            out += roff(line) + "\n";
            empty = false;
        }
    }
    leave_verbatim();
    return out;
}

std::string option_item(OptionOutline const& option)
{
    std::string names;
    for (std::string const& name : option.names)
        names += (names.empty() ? "" : ", ") + (option.positional ? italic(upper(name)) : bold(name));
    std::string out = ".TP\n" + names;
    if (!option.type.empty() && !option.positional)
        out += " " + italic(option.type);
    out += "\n" + roff(option.text);
    if (!option.choices.empty() && !option.text.contains(option.choices.front())) {
        out += ":";
        for (std::string const& choice : option.choices)
            out += " " + bold(choice);
    }
    std::string details;
    auto const add = [&](std::string const& detail) { details += (details.empty() ? "" : "; ") + detail; };
    if (option.required)
        add("required");
    if (!option.range.empty())
        add("between " + option.range);
    if (!option.standard.empty())
        add("default " + option.standard);
    if (!details.empty())
        out += " (" + roff(details) + ")";
    return out + ".\n";
}

std::string synopsis(CommandOutline const& command)
{
    std::string out = bold(command.name(" "));
    if (!command.options.empty())
        out += " [" + italic("OPTION") + "]...";
    for (OptionOutline const& option : command.options)
        if (option.positional)
            out += " " + italic(upper(option.names.front()));
    if (!command.children.empty())
        out += " " + italic("COMMAND");
    return out + "\n";
}

std::string command_sections(CommandOutline const& command, int depth)
{
    std::string out;
    if (depth > 0)
        out += fmt::format(".SH {}\n{}", upper(roff(command.name(" "))), paragraphs(command.text + "."));
    else if (!command.options.empty())
        out += ".SH OPTIONS\n";
    for (OptionOutline const& option : command.options)
        out += option_item(option);
    if (!command.footer.empty() && depth > 0)
        out += ".PP\n" + paragraphs(command.footer);
    for (CommandOutline const& child : command.children)
        out += command_sections(child, depth + 1);
    return out;
}

} // namespace

std::string manual_page(CommandOutline const& command, std::string const& additions, std::string const& version,
                        std::string const& date)
{
    std::string const name = command.name("-");
    std::string out = fmt::format(".\\\" Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0\n"
                                  ".\\\" Made from the program's own options.\n"
                                  ".TH {} 1 {} \"Undercroft {}\"\n",
                                  roff(upper(name)), date, version);
    out += fmt::format(".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}", roff(name), roff(first_line(command.text)),
                       synopsis(command));
    out += ".SH DESCRIPTION\n" + paragraphs(command.text.ends_with('\n') ? command.text : command.text + ".\n");
    if (!command.footer.empty())
        out += ".PP\n" + paragraphs(command.footer);
    bool const is_program = command.path.size() == 1;
    if (!is_program)
        return out + command_sections(command, 0) + paragraphs(additions);
    CommandOutline alone = command;
    alone.children.clear();
    out += command_sections(alone, 0) + ".SH COMMANDS\n";
    for (CommandOutline const& child : command.children)
        out += ".TP\n" + bold(child.path.back()) + "\n" + roff(first_line(child.text)) + ".\n";
    return out + paragraphs(additions);
}

} // namespace undercroft::program
