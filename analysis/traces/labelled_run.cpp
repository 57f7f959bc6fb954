// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/labelled_run.hpp"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

std::int64_t time_of(Json const& json, char const* name)
{
    Json const& value = json.at(name);
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0)
        throw Error{fmt::format("'{}' is no time", name)};
    return value.get<std::int64_t>();
}

LabelledRun from_json(Json const& json)
{
    if (json.at("format") != 1)
        throw Error{"not format 1"};
    LabelledRun run{.family = json.at("family").get<std::string>(),
                    .environment = json.at("fs").get<std::string>(),
                    .machine = json.at("machine").get<std::string>(),
                    .boot = json.at("boot").get<std::string>(),
                    .source = json.at("source").get<std::uint16_t>(),
                    .truth = {}};
    std::string const kind = json.at("class").get<std::string>();
    RunTruth& truth = run.truth;
    truth.ransomware = kind == "encryptor";
    if (!truth.ransomware && kind != "look-alike" && kind != "ordinary")
        throw Error{fmt::format("there is no class '{}'", kind)};
    truth.begin_ns = time_of(json, truth.ransomware ? "first_write_ns" : "begin_ns");
    truth.end_ns = time_of(json, "end_ns");
    truth.corpus_files = json.at("corpus_files").get<std::uint64_t>();
    for (Json const& file : json.at("files"))
        truth.touched_ns.push_back(time_of(file, "first_write_ns"));
    std::ranges::sort(truth.touched_ns);
    return run;
}

} // namespace

LabelledRun read_labels(std::filesystem::path const& file)
{
    std::ifstream in{file, std::ios::binary};
    try {
        return from_json(Json::parse(in));
    } catch (std::exception const& error) {
        throw Error{fmt::format("{}: {}", file.string(), error.what())};
    }
}

} // namespace undercroft::analysis
