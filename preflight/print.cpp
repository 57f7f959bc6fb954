// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/print.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

namespace undercroft::preflight {
namespace {

constexpr std::size_t columns = 100, indent = 9;

char const* name_of(Level level)
{
    return level == Level::ok ? "ok" : level == Level::note ? "note" : "problem";
}

/// Words of `text` in lines that begin at column `indent`; `lead` stands before the first.
void add_lines(std::string& out, std::string_view lead, std::string const& text)
{
    std::istringstream words{text};
    std::string word, line = fmt::format("{:<{}}", lead, indent);
    while (words >> word) {
        if (line.size() > indent && line.size() + word.size() > columns) {
            line.pop_back();
            out += line + "\n";
            line.assign(indent + 2, ' ');
        }
        line += word + " ";
    }
    line.pop_back();
    out += line + "\n";
}

char const* conclusion(int code)
{
    return code == 0   ? "The sensor can start on this machine."
           : code == 1 ? "The sensor cannot start or work on this machine as it is: see the problems."
                       : "No problem was found, but not everything could be read.";
}

} // namespace

std::string report_text(std::vector<Finding> const& findings, std::vector<Unread> const& unread,
                        std::string const& conclusion)
{
    std::string out;
    for (Level const level : {Level::problem, Level::note, Level::ok})
        for (Finding const& finding : findings) {
            if (finding.level != level)
                continue;
            add_lines(out, name_of(level), finding.what);
            if (!finding.why.empty())
                add_lines(out, "", "  " + finding.why);
            if (!finding.remedy.empty())
                add_lines(out, "", "-> " + finding.remedy);
        }
    for (Unread const& missing : unread) {
        add_lines(out, "unread", missing.what);
        add_lines(out, "", "-> " + missing.how);
    }
    return out + conclusion + "\n";
}

std::string report_json(std::vector<Finding> const& findings, std::vector<Unread> const& unread,
                        std::string const& result)
{
    nlohmann::ordered_json root;
    root["result"] = result;
    root["findings"] = nlohmann::ordered_json::array();
    for (Finding const& finding : findings)
        root["findings"].push_back({{"level", name_of(finding.level)},
                                    {"what", finding.what},
                                    {"why", finding.why},
                                    {"remedy", finding.remedy}});
    root["unread"] = nlohmann::ordered_json::array();
    for (Unread const& missing : unread)
        root["unread"].push_back({{"what", missing.what}, {"how", missing.how}});
    return root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string as_text(Facts const& facts, std::vector<Finding> const& findings)
{
    return report_text(findings, facts.unread, conclusion(exit_code(facts, findings)));
}

std::string as_json(Facts const& facts, std::vector<Finding> const& findings)
{
    int const code = exit_code(facts, findings);
    return report_json(findings, facts.unread, code == 0 ? "can_start" : code == 1 ? "cannot_start" : "incomplete");
}

} // namespace undercroft::preflight
