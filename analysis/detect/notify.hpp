// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Alerts to others: CEF over syslog, JSON to a web hook. What fails is tried again a few times, then said and given up.
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace undercroft::analysis {

struct NotifyOptions {
    std::string syslog{};              ///< "udp:HOST:PORT" or "tcp:HOST:PORT"; empty: none
    std::string webhook{};             ///< http or https URL; empty: none
    std::string webhook_header_file{}; ///< lines "Name: value"; empty: none
    int attempts = 3;
    int timeout_s = 20; ///< for each attempt
};

class Notifier {
public:
    /// Throws Error when an option makes no sense or the header file cannot be read.
    explicit Notifier(NotifyOptions options);

    /// Sends an alert's line (docs/formats/alerts.md) wherever the options say. Takes its time. Texts of what failed,
    /// without secrets: at most the host of the web hook is named.
    [[nodiscard]] std::vector<std::string> send(nlohmann::json const& line) const;
    [[nodiscard]] bool any() const { return !options_.syslog.empty() || !options_.webhook.empty(); }

private:
    [[nodiscard]] std::string try_syslog(std::string const& message) const;
    [[nodiscard]] std::string try_webhook(std::string const& body) const;
    [[nodiscard]] std::string persist(std::function<std::string()> const& attempt) const;

    NotifyOptions options_;
    bool tcp_{};
    std::string syslog_host_;
    std::string syslog_port_;
    std::string webhook_name_; ///< what may be said of it
    std::vector<std::string> headers_;
};

/// The alert as one line of CEF (ArcSight Common Event Format, version 0).
[[nodiscard]] std::string cef_of(nlohmann::json const& line);
/// RFC 5424, facility "log audit", around CEF.
[[nodiscard]] std::string syslog_message(nlohmann::json const& line, std::string const& host_name);

} // namespace undercroft::analysis
