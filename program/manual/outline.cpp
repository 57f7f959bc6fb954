// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "program/manual/outline.hpp"

#include <sstream>

namespace undercroft::program {
namespace {

/// CLI11 writes what its validators demand behind the type: "INT:INT in [1 - 64]", "TEXT:{a,b}".
void split_type(std::string const& text, OptionOutline& out)
{
    if (auto const range = text.find(" in ["); range != std::string::npos) {
        out.type = text.substr(0, text.rfind(':', range));
        out.range = text.substr(range + 5, text.find(']', range) - range - 5);
    } else if (auto const brace = text.find(":{"); brace != std::string::npos) {
        out.type = text.substr(0, brace);
        std::istringstream choices{text.substr(brace + 2, text.find('}', brace) - brace - 2)};
        for (std::string choice; std::getline(choices, choice, ',');)
            out.choices.push_back(choice);
    } else {
        out.type = text;
    }
}

OptionOutline outline(CLI::Option& option)
{
    OptionOutline out;
    out.text = option.get_description();
    out.positional = !option.nonpositional();
    out.required = option.get_required();
    for (std::string const& name : option.get_snames())
        out.names.push_back("-" + name);
    for (std::string const& name : option.get_lnames())
        out.names.push_back("--" + name);
    if (out.names.empty())
        out.names.push_back(option.get_single_name());
    if (option.get_expected_max() != 0) {
        split_type(option.get_type_name(), out);
        out.standard = option.get_default_str();
    }
    return out;
}

} // namespace

std::string CommandOutline::name(std::string const& separator) const
{
    std::string out;
    for (std::string const& word : path)
        out += (out.empty() ? "" : separator) + word;
    return out;
}

CommandOutline outline(CLI::App& app, std::vector<std::string> const& parents)
{
    CommandOutline out;
    out.path = parents;
    out.text = app.get_description();
    out.footer = app.get_footer();
    out.path.push_back(app.get_name());
    for (CLI::Option* const option : app.get_options())
        out.options.push_back(outline(*option));
    for (CLI::App* const child : app.get_subcommands([](CLI::App*) { return true; }))
        out.children.push_back(outline(*child, out.path));
    return out;
}

} // namespace undercroft::program
