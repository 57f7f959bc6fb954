// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/notify.hpp"

#include <curl/curl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t longest_datagram = 8192; // RFC 5426: receivers should take at least 2048

struct FreeAddresses {
    void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
struct FreeCurl {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

/// Scheme and host: the rest of a web hook's address is often its secret.
std::string public_part(std::string const& text)
{
    std::unique_ptr<CURLU, FreeUrl> const url{curl_url()};
    auto const part = [&](CURLUPart which) {
        char* value = nullptr;
        if (curl_url_get(url.get(), which, &value, 0) != CURLUE_OK)
            return std::string{};
        std::string const copy = value;
        curl_free(value);
        return copy;
    };
    if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
        throw Error{"--webhook is no URL"};
    std::string const scheme = part(CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https")
        throw Error{"--webhook must begin with http:// or https://"};
    return scheme + "://" + part(CURLUPART_HOST);
}

std::vector<std::string> read_headers(std::string const& file)
{
    std::vector<std::string> headers;
    std::ifstream in{file};
    if (!in)
        throw Error{fmt::format("{}: cannot be read", file)};
    for (std::string line; std::getline(in, line);) {
        if (line.ends_with('\r'))
            line.pop_back();
        if (line.empty() || line.starts_with('#'))
            continue;
        if (line.find(':') == std::string::npos || headers.size() == 32)
            throw Error{fmt::format("{}: not lines of `Name: value`, 32 at most", file)};
        headers.push_back(line);
    }
    return headers;
}

std::string host_name()
{
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::size_t swallow(char*, std::size_t size, std::size_t count, void*)
{
    return size * count;
}

/// "" or why not.
std::string send_all(int fd, std::string_view text)
{
    while (!text.empty()) {
        ssize_t const sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent <= 0)
            return std::strerror(errno);
        text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

} // namespace

Notifier::Notifier(NotifyOptions options) : options_{std::move(options)}
{
    if (!options_.syslog.empty()) {
        std::string const& text = options_.syslog;
        std::size_t const port = text.rfind(':');
        tcp_ = text.starts_with("tcp:");
        if ((!tcp_ && !text.starts_with("udp:")) || port <= 4 || port + 1 == text.size())
            throw Error{fmt::format("--syslog '{}' is neither udp:HOST:PORT nor tcp:HOST:PORT", text)};
        syslog_host_ = text.substr(4, port - 4);
        if (syslog_host_.starts_with('[') && syslog_host_.ends_with(']'))
            syslog_host_ = syslog_host_.substr(1, syslog_host_.size() - 2);
        syslog_port_ = text.substr(port + 1);
    }
    if (!options_.webhook.empty()) {
        static CURLcode const started = curl_global_init(CURL_GLOBAL_DEFAULT);
        if (started != CURLE_OK)
            throw Error{"libcurl cannot be initialised"};
        webhook_name_ = public_part(options_.webhook);
    }
    if (!options_.webhook_header_file.empty())
        headers_ = read_headers(options_.webhook_header_file);
}

std::string Notifier::persist(std::function<std::string()> const& attempt) const
{
    std::string problem;
    for (int i = 0; i < options_.attempts; ++i) {
        if (i > 0)
            std::this_thread::sleep_for(std::chrono::seconds{i});
        problem = attempt();
        if (problem.empty())
            return {};
    }
    return problem;
}

std::vector<std::string> Notifier::send(nlohmann::json const& line) const
{
    std::vector<std::string> problems;
    auto const note = [&](std::string const& where, std::string const& problem) {
        if (!problem.empty())
            problems.push_back(
                fmt::format("alert not sent to {}: {} ({} attempts)", where, problem, options_.attempts));
    };
    if (!options_.syslog.empty()) {
        std::string const message = syslog_message(line, host_name());
        note(options_.syslog, persist([&] { return try_syslog(message); }));
    }
    if (!options_.webhook.empty()) {
        std::string const body = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        note(webhook_name_, persist([&] { return try_webhook(body); }));
    }
    return problems;
}

std::string Notifier::try_syslog(std::string const& message) const
{
    addrinfo hints{};
    hints.ai_socktype = tcp_ ? SOCK_STREAM : SOCK_DGRAM;
    addrinfo* found = nullptr;
    if (int const error = ::getaddrinfo(syslog_host_.c_str(), syslog_port_.c_str(), &hints, &found); error != 0)
        return ::gai_strerror(error);
    std::unique_ptr<addrinfo, FreeAddresses> const addresses{found};
    std::string problem = "no address";
    for (addrinfo const* at = found; at != nullptr && !problem.empty(); at = at->ai_next) {
        int const fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        timeval const limit{.tv_sec = options_.timeout_s, .tv_usec = 0};
        if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
            ::connect(fd, at->ai_addr, at->ai_addrlen) != 0)
            problem = std::strerror(errno);
        else if (tcp_) // RFC 6587: the length, a space, the message
            problem = send_all(fd, fmt::format("{} {}", message.size(), message));
        else
            problem = send_all(fd, std::string_view{message}.substr(0, longest_datagram));
        if (fd >= 0)
            ::close(fd);
    }
    return problem;
}

std::string Notifier::try_webhook(std::string const& body) const
{
    std::unique_ptr<CURL, FreeCurl> const curl{curl_easy_init()};
    curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
    list = curl_slist_append(list, "Expect:");
    for (std::string const& header : headers_)
        list = curl_slist_append(list, header.c_str());
    std::unique_ptr<curl_slist, FreeList> const headers{list};
    auto const set = [&](CURLoption option, auto value) {
        static_cast<void>(curl_easy_setopt(curl.get(), option, value));
    };
    set(CURLOPT_URL, options_.webhook.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTPHEADER, list);
    set(CURLOPT_POSTFIELDS, body.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    set(CURLOPT_TIMEOUT, static_cast<long>(options_.timeout_s));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_WRITEFUNCTION, &swallow);
    CURLcode const result = curl_easy_perform(curl.get());
    if (result != CURLE_OK)
        return curl_easy_strerror(result); // not the error buffer: that quotes the URL
    long status = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300 ? std::string{} : fmt::format("the server answered {}", status);
}

} // namespace undercroft::analysis
