// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/metrics/exposition.hpp"

#include <fmt/format.h>

namespace undercroft::collector {
namespace {

std::string escaped(std::string_view text, bool quotes)
{
    std::string out;
    for (char const c : text) {
        if (c == '\\')
            out += "\\\\";
        else if (c == '\n')
            out += "\\n";
        else if (c == '"' && quotes)
            out += "\\\"";
        else
            out += c;
    }
    return out;
}

} // namespace

void Exposition::metric(std::string_view name, MetricType type, std::string_view help)
{
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(help, false), name,
                         type == MetricType::counter ? "counter" : "gauge");
}

void Exposition::begin_sample(Labels labels)
{
    text_ += name_;
    char before = '{';
    for (auto const& [name, value] : labels) {
        text_ += fmt::format("{}{}=\"{}\"", before, name, escaped(value, true));
        before = ',';
    }
    text_ += before == '{' ? " " : "} ";
}

void Exposition::sample(std::uint64_t value, Labels labels)
{
    begin_sample(labels);
    text_ += fmt::format("{}\n", value);
}

void Exposition::sample(double value, Labels labels)
{
    begin_sample(labels);
    text_ += fmt::format("{}\n", value);
}

void MetricsRegistry::add(Source source)
{
    std::scoped_lock const lock{mutex_};
    sources_.push_back(std::move(source));
}

std::string MetricsRegistry::text() const
{
    std::scoped_lock const lock{mutex_};
    Exposition out;
    for (Source const& source : sources_)
        source(out);
    return out.text();
}

} // namespace undercroft::collector
