// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/metrics/listener.hpp"

#include <chrono>
#include <optional>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

namespace undercroft::collector {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = asio::ip::tcp;
using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr auto pause_after_accept_error = std::chrono::milliseconds{100};

Response text_response(http::status status, std::string text)
{
    Response response{status, 11};
    response.set(http::field::content_type, "text/plain; charset=utf-8");
    response.body() = std::move(text);
    return response;
}

Response answer(Request const& request, MetricsRegistry const& registry)
{
    bool const head = request.method() == http::verb::head;
    if (!head && request.method() != http::verb::get) {
        Response response = text_response(http::status::method_not_allowed, "only GET and HEAD\n");
        response.set(http::field::allow, "GET, HEAD");
        return response;
    }
    if (request.target() != "/metrics")
        return text_response(http::status::not_found, "only /metrics is here\n");
    Response response = text_response(http::status::ok, registry.text());
    response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    return response;
}

/// One connection; lives as long as an operation of it is under way.
class Session : public std::enable_shared_from_this<Session> {
public:
    Session(Tcp::socket socket, MetricsRegistry const& registry, ListenerLimits const& limits, std::size_t& open)
        : stream_{std::move(socket)}, buffer_{limits.request_bytes}, registry_{registry}, limits_{limits}, open_{open}
    {
        ++open_;
        parser_.header_limit(static_cast<std::uint32_t>(limits.request_bytes));
        parser_.body_limit(0);
    }
    ~Session() { --open_; }
    Session(Session const&) = delete;
    Session& operator=(Session const&) = delete;

    void read()
    {
        expire();
        http::async_read(stream_, buffer_, parser_,
                         [self = shared_from_this()](beast::error_code error, std::size_t) { self->answer_to(error); });
    }

private:
    void expire() { stream_.expires_after(std::chrono::milliseconds{static_cast<long>(limits_.patience_s * 1000)}); }

    void answer_to(beast::error_code error)
    {
        // Only http's own errors come from a client that still listens.
        if (error && error.category() != make_error_code(http::error::bad_method).category())
            return;
        if (error == http::error::end_of_stream || error == http::error::partial_message)
            return;
        bool const bodiless = !error && parser_.get().method() == http::verb::head;
        response_ = error ? text_response(http::status::bad_request, "this is no request that I understand\n")
                          : answer(parser_.get(), registry_);
        response_.keep_alive(false);
        response_.prepare_payload();
        serializer_.emplace(response_);
        serializer_->split(bodiless);
        expire();
        auto const written = [self = shared_from_this()](beast::error_code, std::size_t) {
            beast::error_code ignored;
            self->stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
        };
        if (bodiless)
            http::async_write_header(stream_, *serializer_, written);
        else
            http::async_write(stream_, *serializer_, written);
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    http::request_parser<http::empty_body> parser_;
    Response response_;
    std::optional<http::response_serializer<http::string_body>> serializer_;
    MetricsRegistry const& registry_;
    ListenerLimits const& limits_;
    std::size_t& open_; ///< of the thread that runs all sessions
};

} // namespace

struct MetricsListener::Server {
    Server(Address const& address, MetricsRegistry const& source, ListenerLimits wanted)
        : registry{source}, limits{wanted}, acceptor{context}, pause{context}
    {
        Tcp::endpoint const endpoint{asio::ip::make_address(address.host), address.port};
        acceptor.open(endpoint.protocol());
        acceptor.set_option(asio::socket_base::reuse_address{true});
        acceptor.bind(endpoint);
        acceptor.listen();
        accept();
        thread = std::thread{[this] { context.run(); }};
    }

    void accept()
    {
        acceptor.async_accept([this](beast::error_code error, Tcp::socket socket) {
            if (error == asio::error::operation_aborted)
                return;
            if (error) {
                // Out of descriptors, most likely: a busy loop would not help.
                pause.expires_after(pause_after_accept_error);
                pause.async_wait([this](beast::error_code stopped) {
                    if (!stopped)
                        accept();
                });
                return;
            }
            if (open < limits.connections)
                std::make_shared<Session>(std::move(socket), registry, limits, open)->read();
            accept();
        });
    }

    MetricsRegistry const& registry;
    ListenerLimits limits;
    std::size_t open = 0; ///< before `context`: sessions that end with it count down
    asio::io_context context{1};
    Tcp::acceptor acceptor;
    asio::steady_timer pause;
    std::thread thread;
};

MetricsListener::MetricsListener(Address const& address, MetricsRegistry const& registry, ListenerLimits limits)
try : server_{std::make_unique<Server>(address, registry, limits)} {
} catch (boost::system::system_error const& error) {
    throw ListenerError{"cannot listen for metrics on " + address.host + " port " + std::to_string(address.port) +
                        ": " + error.code().message()};
}

MetricsListener::~MetricsListener()
{
    server_->context.stop();
    server_->thread.join();
}

std::uint16_t MetricsListener::port() const
{
    return server_->acceptor.local_endpoint().port();
}

} // namespace undercroft::collector
