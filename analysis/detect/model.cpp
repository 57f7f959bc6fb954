// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/sha.h>

#include "analysis/command.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

constexpr int model_format = 2;
constexpr std::uintmax_t most_file_bytes = 64 << 20;
constexpr std::size_t most_windows = 16;
constexpr std::size_t most_columns = 4096;
constexpr std::array<std::string_view, 4> kind_names{"boosted", "forest", "logistic", "anchored"};

Json const& member(Json const& json, char const* name)
{
    if (!json.is_object() || !json.contains(name))
        throw Error{fmt::format("'{}' is missing", name)};
    return json.at(name);
}

double number(Json const& json, char const* name, double low, double high)
{
    Json const& value = member(json, name);
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high))
        throw Error{fmt::format("'{}' is not a number from {} to {}", name, low, high)};
    return value.get<double>();
}

std::string text(Json const& json, char const* name)
{
    Json const& value = member(json, name);
    if (!value.is_string())
        throw Error{fmt::format("'{}' is not a text", name)};
    return value.get<std::string>();
}

bool boolean(Json const& json, char const* name)
{
    Json const& value = member(json, name);
    if (!value.is_boolean())
        throw Error{fmt::format("'{}' is neither true nor false", name)};
    return value.get<bool>();
}

Json const& list(Json const& json, char const* name, std::size_t most)
{
    Json const& value = member(json, name);
    if (!value.is_array() || value.size() > most)
        throw Error{fmt::format("'{}' is not a list of at most {}", name, most)};
    return value;
}

std::int64_t whole(Json const& value, char const* name, std::int64_t low, std::int64_t high)
{
    if (!value.is_number_integer() || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high)
        throw Error{fmt::format("'{}' holds no whole number from {} to {}", name, low, high)};
    return value.get<std::int64_t>();
}

View view_from(Json const& json)
{
    constexpr std::int64_t day_ns = 86'400'000'000'000;
    View view;
    for (Json const& window : list(json, "windows_ns", most_windows))
        view.windows_ns.push_back(whole(window, "windows_ns", 1'000'000, day_ns));
    view.step_ns = whole(member(json, "step_ns"), "step_ns", 1'000'000, day_ns);
    view.reads_only = boolean(json, "reads_only");
    view.first_reads_only = boolean(json, "first_reads_only");
    for (Json const& column : list(json, "columns", most_columns)) {
        std::string const name = text(column, "feature");
        Feature const* const feature = find_feature(name);
        if (feature == nullptr)
            throw Error{fmt::format("there is no feature '{}'", name)};
        if (view.reads_only && feature->needs != Needs::reads)
            throw Error{fmt::format("feature '{}' needs more than reads", name)};
        std::int64_t const windows = static_cast<std::int64_t>(view.windows_ns.size());
        view.columns.push_back(
            {feature, static_cast<std::size_t>(whole(member(column, "window"), "window", 0, windows - 1))});
    }
    if (view.columns.empty())
        throw Error{"'columns' is empty"};
    FeatureExtractor const check{view.extractor_options(), {}}; // throws when windows and step do not go together
    return view;
}

Judge judge_from(Json const& json, std::size_t columns)
{
    Judge judge;
    judge.slope = number(json, "slope", 0, 1e6);
    judge.offset = number(json, "offset", -1e6, 1e6);
    if (Json const& limit = member(json, "limit"); !limit.is_null())
        judge.limit = number(json, "limit", 0, 1e6);
    if (Json const& logistic = member(json, "logistic"); !logistic.is_null()) {
        for (Json const& column : list(json, "logistic_columns", columns))
            judge.logistic_columns.push_back(
                static_cast<std::size_t>(whole(column, "logistic_columns", 0, static_cast<std::int64_t>(columns) - 1)));
        judge.logistic = Logistic::from_json(logistic, judge.logistic_columns.size());
    }
    if (Json const& trees = member(json, "trees"); !trees.is_null())
        judge.trees = Booster::from_json(trees, columns);
    if (!judge.logistic && !judge.trees)
        throw Error{"there is neither a logistic part nor trees"};
    return judge;
}

Model model_from(Json const& json)
{
    Model model;
    model.track = text(json, "track");
    model.kind = judge_kind_of(text(json, "kind"));
    model.trained_on = text(json, "trained_on");
    model.threshold = number(json, "threshold", 0, 1);
    model.false_positive_budget = number(json, "false_positive_budget", 0, 1);
    model.sure_threshold = number(json, "sure_threshold", 0, 2);
    model.consecutive = static_cast<std::uint32_t>(whole(member(json, "consecutive"), "consecutive", 1, 1000));
    model.view = view_from(member(json, "view"));
    model.judge = judge_from(member(json, "judge"), model.view.columns.size());
    return model;
}

Json json_of(Model const& model)
{
    Json columns = Json::array();
    for (FeatureColumn const& column : model.view.columns)
        columns.push_back({{"feature", column.feature->name}, {"window", column.window}});
    Judge const& judge = model.judge;
    return {
        {"track", model.track},
        {"kind", to_string(model.kind)},
        {"trained_on", model.trained_on},
        {"threshold", model.threshold},
        {"false_positive_budget", model.false_positive_budget},
        {"consecutive", model.consecutive},
        {"sure_threshold", model.sure_threshold},
        {"view",
         {{"windows_ns", model.view.windows_ns},
          {"step_ns", model.view.step_ns},
          {"reads_only", model.view.reads_only},
          {"first_reads_only", model.view.first_reads_only},
          {"columns", columns}}},
        {"judge",
         {{"slope", judge.slope},
          {"offset", judge.offset},
          {"limit", judge.limit ? Json(*judge.limit) : Json()},
          {"logistic", judge.logistic ? judge.logistic->to_json() : Json()},
          {"logistic_columns", judge.logistic_columns},
          {"trees", judge.trees ? judge.trees->to_json() : Json()}}},
    };
}

std::string digest_of(std::string const& text)
{
    std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
    SHA256(reinterpret_cast<unsigned char const*>(text.data()), text.size(), hash.data());
    std::string digits;
    for (std::size_t i = 0; i < 6; ++i)
        digits += fmt::format("{:02x}", hash[i]);
    return digits;
}

Matrix pick(Matrix const& matrix, std::vector<std::size_t> const& columns)
{
    Matrix result{.columns = columns.size(), .values = {}};
    for (std::size_t r = 0; r < matrix.rows(); ++r)
        for (std::size_t const column : columns)
            result.values.push_back(matrix.row(r)[column]);
    return result;
}

} // namespace

ExtractorOptions View::extractor_options() const
{
    ExtractorOptions options;
    options.windows_ns = windows_ns;
    options.step_ns = step_ns;
    options.first_reads_only = first_reads_only;
    return options;
}

std::vector<std::string> View::column_names() const
{
    std::vector<std::string> names;
    for (FeatureColumn const& column : columns)
        names.push_back(column_name(column, windows_ns));
    return names;
}

std::string_view to_string(JudgeKind kind)
{
    return kind_names[static_cast<std::size_t>(kind)];
}

JudgeKind judge_kind_of(std::string_view name)
{
    auto const found = std::ranges::find(kind_names, name);
    if (found == kind_names.end())
        throw Error{fmt::format("there is no kind of model '{}'; there are {}", name, fmt::join(kind_names, ", "))};
    return static_cast<JudgeKind>(found - kind_names.begin());
}

std::vector<double> Judge::margins(Matrix const& matrix) const
{
    std::vector<double> result(matrix.rows());
    if (logistic) {
        std::vector<float> const part = logistic->margins(pick(matrix, logistic_columns));
        std::ranges::transform(result, part, result.begin(), std::plus<>{});
    }
    if (trees) {
        std::vector<float> const part = trees->margins(matrix);
        for (std::size_t i = 0; i < result.size(); ++i) {
            double const margin = static_cast<double>(part[i]);
            result[i] += limit ? std::clamp(margin, -*limit, *limit) : margin;
        }
    }
    return result;
}

std::vector<double> Judge::probabilities(Matrix const& matrix) const
{
    std::vector<double> result = margins(matrix);
    for (double& value : result)
        value = 1 / (1 + std::exp(-(slope * value + offset)));
    return result;
}

std::vector<double> Judge::contributions(Matrix const& matrix) const
{
    std::vector<double> result(matrix.rows() * matrix.columns);
    if (logistic) {
        std::size_t const terms = logistic_columns.size() + 1;
        std::vector<float> const part = logistic->contributions(pick(matrix, logistic_columns));
        for (std::size_t r = 0; r < matrix.rows(); ++r)
            for (std::size_t i = 0; i < logistic_columns.size(); ++i)
                result[r * matrix.columns + logistic_columns[i]] += slope * static_cast<double>(part[r * terms + i]);
    }
    if (trees) {
        std::vector<float> const part = trees->contributions(matrix);
        std::vector<float> const margins = trees->margins(matrix);
        for (std::size_t r = 0; r < matrix.rows(); ++r) {
            double const margin = std::abs(static_cast<double>(margins[r]));
            double const kept = limit && margin > *limit ? *limit / margin : 1;
            for (std::size_t c = 0; c < matrix.columns; ++c)
                result[r * matrix.columns + c] +=
                    slope * kept * static_cast<double>(part[r * (matrix.columns + 1) + c]);
        }
    }
    return result;
}

Json ModelFile::to_json() const
{
    Json list_of_models = Json::array();
    for (Model const& model : models)
        list_of_models.push_back(json_of(model));
    return {{"undercroft_model", model_format},
            {"catalogue", catalogue_version},
            {"origin", origin},
            {"models", list_of_models}};
}

ModelFile ModelFile::from_json(Json const& json)
{
    if (whole(member(json, "undercroft_model"), "undercroft_model", 0, 1'000'000) != model_format)
        throw Error{fmt::format("the model file's format is not {}", model_format)};
    if (auto const version = whole(member(json, "catalogue"), "catalogue", 0, 1'000'000); version != catalogue_version)
        throw Error{
            fmt::format("the model was trained on version {} of the features, this program computes version {}: "
                        "train it again",
                        version, catalogue_version)};
    ModelFile file;
    if (json.contains("origin")) // files of older versions do not say
        file.origin = text(json, "origin");
    for (Json const& model : list(json, "models", 8))
        file.models.push_back(model_from(model));
    if (file.models.empty())
        throw Error{"'models' is empty"};
    return file;
}

void ModelFile::save(std::filesystem::path const& file) const
{
    write_file(file, to_json().dump() + "\n");
}

ModelFile ModelFile::load(std::filesystem::path const& file)
{
    std::error_code error;
    std::uintmax_t const bytes = std::filesystem::file_size(file, error);
    if (error || bytes > most_file_bytes)
        throw Error{fmt::format("{}: {}", file.string(), error ? error.message() : "too long for a model")};
    std::string text(bytes, '\0');
    std::ifstream in{file, std::ios::binary};
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    try {
        ModelFile result = from_json(Json::parse(text));
        result.name = digest_of(text);
        return result;
    } catch (std::exception const& reason) {
        throw Error{fmt::format("{}: not a usable model: {}", file.string(), reason.what())};
    }
}

Model const& ModelFile::for_trace(bool has_writes) const
{
    for (Model const& model : models)
        if (model.view.reads_only != has_writes)
            return model;
    throw Error{has_writes ? "the model file has no model for traces with writes"
                           : "the model file has no model for traces without writes"};
}

} // namespace undercroft::analysis
