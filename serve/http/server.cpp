// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/http/server.hpp"

#include <chrono>
#include <optional>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

namespace undercroft::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = asio::ip::tcp;
using BeastRequest = http::request<http::string_body>;
using BeastResponse = http::response<http::string_body>;

constexpr auto pause_after_accept_error = std::chrono::milliseconds{100};

struct Shared {
    Handler handler;
    ServerLimits limits;
    std::size_t open = 0; ///< connections; of the thread that runs them all
};

std::string header(BeastRequest const& request, http::field name)
{
    auto const value = request[name];
    return {value.data(), value.size()};
}

std::optional<Request> translate(BeastRequest const& in)
{
    Request out;
    if (in.method() == http::verb::get)
        out.method = Method::get;
    else if (in.method() == http::verb::head)
        out.method = Method::head;
    else if (in.method() == http::verb::post)
        out.method = Method::post;
    else
        return std::nullopt;
    auto target = parse_target({in.target().data(), in.target().size()});
    if (!target || in.count(http::field::host) != 1)
        return std::nullopt;
    out.target = std::move(*target);
    out.host = header(in, http::field::host);
    out.origin = header(in, http::field::origin);
    out.cookie = header(in, http::field::cookie);
    out.authorization = header(in, http::field::authorization);
    out.content_type = header(in, http::field::content_type);
    out.body = in.body();
    return out;
}

BeastResponse translate(Reply reply)
{
    BeastResponse out{static_cast<http::status>(reply.status), 11};
    out.set(http::field::content_type, reply.content_type);
    out.set("X-Content-Type-Options", "nosniff");
    out.set("Referrer-Policy", "same-origin");
    out.set("X-Frame-Options", "DENY");
    out.set("Cross-Origin-Opener-Policy", "same-origin");
    out.set("Cross-Origin-Resource-Policy", "same-origin");
    out.set("Content-Security-Policy", reply.content_security_policy.empty()
                                           ? "default-src 'none'; frame-ancestors 'none'"
                                           : reply.content_security_policy);
    out.set(http::field::cache_control, "no-store");
    for (auto const& [name, value] : reply.headers)
        out.set(name, value);
    out.body() = std::move(reply.body);
    return out;
}

Reply answer(BeastRequest const& in, Handler const& handler)
{
    auto const request = translate(in);
    if (!request)
        return error_reply(400, "this is no request that I understand");
    try {
        return handler(*request);
    } catch (std::exception const& error) {
        return error_reply(500, error.what());
    }
}

/// One connection; lives as long as an operation of it is under way. Its socket belongs to the one thread of the
/// io_context, handlers run in the pool.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(Tcp::socket socket, Shared& shared, asio::thread_pool& pool)
        : stream_{std::move(socket)}, buffer_{shared.limits.header_bytes + shared.limits.body_bytes}, shared_{shared},
          pool_{pool}
    {
        ++shared_.open;
        beast::error_code ignored;
        stream_.socket().set_option(Tcp::no_delay{true}, ignored);
    }
    ~Connection() { --shared_.open; }
    Connection(Connection const&) = delete;
    Connection& operator=(Connection const&) = delete;

    void read()
    {
        parser_.emplace();
        parser_->header_limit(static_cast<std::uint32_t>(shared_.limits.header_bytes));
        parser_->body_limit(shared_.limits.body_bytes);
        // The patience for a request begins with its first byte; a first request gets no more than that at all.
        expire(first_ ? shared_.limits.patience_s : shared_.limits.idle_s);
        auto const some = [self = shared_from_this()](beast::error_code error, std::size_t) {
            self->expire(self->shared_.limits.patience_s);
            if (error || self->parser_->is_done())
                self->have_request(error);
            else
                self->read_rest();
        };
        first_ = false;
        http::async_read_some(stream_, buffer_, *parser_, some);
    }

private:
    void expire(double seconds) { stream_.expires_after(std::chrono::milliseconds{static_cast<long>(seconds * 1000)}); }

    void read_rest()
    {
        http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code error, std::size_t) {
            self->have_request(error);
        });
    }

    void have_request(beast::error_code error)
    {
        if (error) {
            // Only http's own errors come from a client that still listens.
            if (error.category() == make_error_code(http::error::bad_method).category() &&
                error != http::error::end_of_stream && error != http::error::partial_message)
                write(error_reply(400, "this is no request that I understand"), false, false);
            return;
        }
        stream_.expires_never();
        asio::post(pool_, [self = shared_from_this()] {
            auto reply = std::make_shared<Reply>(answer(self->parser_->get(), self->shared_.handler));
            asio::post(self->stream_.get_executor(), [self, reply] {
                self->write(std::move(*reply), self->parser_->get().method() == http::verb::head,
                            self->parser_->get().keep_alive());
            });
        });
    }

    void write(Reply reply, bool bodiless, bool keep_alive)
    {
        response_ = translate(std::move(reply));
        response_.keep_alive(keep_alive);
        response_.prepare_payload();
        serializer_.emplace(response_);
        serializer_->split(bodiless);
        expire(shared_.limits.patience_s);
        auto const written = [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
            if (!error && keep_alive) {
                self->read();
                return;
            }
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
    std::optional<http::request_parser<http::string_body>> parser_;
    BeastResponse response_;
    std::optional<http::response_serializer<http::string_body>> serializer_;
    Shared& shared_;
    asio::thread_pool& pool_;
    bool first_ = true;
};

} // namespace

Reply error_reply(unsigned status, std::string const& what)
{
    nlohmann::json const body{{"error", what}};
    return {.status = status, .body = body.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)};
}

struct HttpServer::Machinery {
    Machinery(std::string const& host, std::uint16_t port, Handler handler, ServerLimits limits)
        : shared{.handler = std::move(handler), .limits = limits}, pool{limits.workers}, acceptor{context},
          pause{context}
    {
        Tcp::endpoint const endpoint{asio::ip::make_address(host), port};
        acceptor.open(endpoint.protocol());
        acceptor.set_option(asio::socket_base::reuse_address{true});
        acceptor.bind(endpoint);
        acceptor.listen();
        accept();
        thread = std::thread{[this] { context.run(); }};
    }

    ~Machinery()
    {
        pool.stop();
        pool.join();
        context.stop();
        thread.join();
    }
    Machinery(Machinery const&) = delete;
    Machinery& operator=(Machinery const&) = delete;

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
            if (shared.open < shared.limits.connections)
                std::make_shared<Connection>(std::move(socket), shared, pool)->read();
            accept();
        });
    }

    Shared shared; ///< before `context`: connections that end with it count down
    asio::io_context context{1};
    asio::thread_pool pool; ///< ends first: what it posts needs `context`
    Tcp::acceptor acceptor;
    asio::steady_timer pause;
    std::thread thread;
};

HttpServer::HttpServer(std::string const& host, std::uint16_t port, Handler handler, ServerLimits limits)
try : machinery_{std::make_unique<Machinery>(host, port, std::move(handler), limits)} {
} catch (boost::system::system_error const& error) {
    throw ServerError{"cannot listen on " + host + " port " + std::to_string(port) + ": " + error.code().message()};
}

HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const
{
    return machinery_->acceptor.local_endpoint().port();
}

} // namespace undercroft::serve
