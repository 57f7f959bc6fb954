// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Which programs are ransomware, by their folders' names.
#include <algorithm>
#include <array>
#include <cctype>

#include "analysis/detect/training.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::array<std::string_view, 28> known_ransomware{
    "teslacrypt", "wannacry",     "cerber",     "darkside",    "gandcrab",  "ryuk",  "sodinokibi",
    "conti",      "lockbit",      "revil",      "ransomware",  "hive",      "babuk", "blackcat",
    "locky",      "petya",        "notpetya",   "badrabbit",   "jigsaw",    "maze",  "clop",
    "phobos",     "cryptolocker", "cryptowall", "blackmatter", "netwalker", "akira", "avaddon"};

std::string lower(std::string text)
{
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

/// What may follow a program's name: "4", "_v2", " (REvil)", but no further letters of a word.
bool is_version(std::string_view rest)
{
    if (rest.size() > 1 && rest[0] == 'v')
        rest.remove_prefix(1);
    return rest.empty() || std::isalpha(static_cast<unsigned char>(rest[0])) == 0;
}

} // namespace

Labels::Labels(std::vector<std::string> ransomware)
{
    if (ransomware.empty())
        ransomware.assign(known_ransomware.begin(), known_ransomware.end());
    for (std::string const& name : ransomware)
        ransomware_.push_back(lower(name));
}

bool Labels::is_ransomware(std::string const& program) const
{
    std::string const name = lower(program);
    return std::ranges::any_of(ransomware_, [&](std::string const& known) {
        return name.starts_with(known) && is_version(std::string_view{name}.substr(known.size()));
    });
}

} // namespace undercroft::analysis
