// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Figures in Prometheus' text format, version 0.0.4, and where those that have some announce themselves.
#include <functional>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace undercroft::collector {

enum class MetricType : std::uint8_t { counter, gauge };

class Exposition {
public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    /// Begins a metric; its samples follow at once. Each name once in the whole text: letters, digits and _, with
    /// the unit, and _total at the end of counters.
    void metric(std::string_view name, MetricType type, std::string_view help);
    void sample(std::uint64_t value, Labels labels = {});
    void sample(double value, Labels labels = {});

    [[nodiscard]] std::string const& text() const { return text_; }

private:
    void begin_sample(Labels labels);

    std::string name_;
    std::string text_;
};

class MetricsRegistry {
public:
    /// Called for each scrape, from the listener's thread: quick, and safe beside the thread that makes the figures.
    using Source = std::function<void(Exposition&)>;

    /// What the source refers to must outlive the listener.
    void add(Source source);
    [[nodiscard]] std::string text() const;

private:
    mutable std::mutex mutex_;
    std::vector<Source> sources_;
};

} // namespace undercroft::collector
