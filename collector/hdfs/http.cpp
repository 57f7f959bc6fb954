// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/http.hpp"

#include <curl/curl.h>

#include <array>
#include <exception>

#include "collector/hdfs/reply.hpp"

namespace undercroft::collector {
namespace {

constexpr long send_buffer_bytes = 512L << 10;

/// libcurl wants this once for a process, before any thread uses it.
void initialise_once()
{
    static CURLcode const done = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (done != CURLE_OK)
        throw HttpError{"libcurl cannot be initialised"};
}

/// State of one request; its callbacks must not throw through libcurl.
struct Transfer {
    HttpReply reply;
    bool too_long = false;
    File const* body = nullptr;
    std::uint64_t body_bytes = 0;
    std::uint64_t sent = 0;
    std::exception_ptr read_error;
    std::atomic<bool> const* stop = nullptr;
    std::atomic<std::uint64_t>* bytes_sent = nullptr;
};

std::size_t take_body(char* data, std::size_t, std::size_t count, void* context)
{
    auto& transfer = *static_cast<Transfer*>(context);
    if (transfer.reply.body.size() + count > max_hdfs_reply_bytes) {
        transfer.too_long = true;
        return 0;
    }
    transfer.reply.body.append(data, count);
    return count;
}

std::size_t give_body(char* data, std::size_t size, std::size_t count, void* context)
{
    auto& transfer = *static_cast<Transfer*>(context);
    try {
        std::size_t const wanted = std::min<std::uint64_t>(size * count, transfer.body_bytes - transfer.sent);
        std::size_t const got =
            transfer.body->read_at(transfer.sent, std::span{reinterpret_cast<std::uint8_t*>(data), wanted});
        if (got < wanted)
            throw StoreError{transfer.body->path().string() + " became shorter while it was uploaded", 0};
        transfer.sent += got;
        *transfer.bytes_sent += got;
        return got;
    } catch (...) {
        transfer.read_error = std::current_exception();
        return CURL_READFUNC_ABORT;
    }
}

int seek_body(void* context, curl_off_t offset, int origin)
{
    auto& transfer = *static_cast<Transfer*>(context);
    if (origin != SEEK_SET || offset < 0 || static_cast<std::uint64_t>(offset) > transfer.body_bytes)
        return CURL_SEEKFUNC_CANTSEEK;
    transfer.sent = static_cast<std::uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
}

int watch(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t)
{
    return static_cast<Transfer*>(context)->stop->load() ? 1 : 0;
}

} // namespace

struct HttpClient::Handle {
    CURL* curl = curl_easy_init();
    curl_slist* headers = nullptr;
    std::array<char, CURL_ERROR_SIZE> error{};

    Handle()
    {
        // Without `Expect: 100-continue`: DataNodes take the data at once, and its answer would cost a second.
        headers = curl_slist_append(headers, "Expect:");
        headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
    }
    ~Handle()
    {
        curl_slist_free_all(headers);
        curl_easy_cleanup(curl);
    }
    Handle(Handle const&) = delete;
    Handle& operator=(Handle const&) = delete;

    template <typename T>
    void set(CURLoption option, T value) const
    {
        static_cast<void>(curl_easy_setopt(curl, option, value));
    }
    void set_common(HttpOptions const& options, Transfer& transfer);
    void set_method(HttpMethod method, Transfer& transfer) const;
};

void HttpClient::Handle::set_common(HttpOptions const& options, Transfer& transfer)
{
    curl_easy_reset(curl); // keeps connections
    error[0] = 0;
    set(CURLOPT_ERRORBUFFER, error.data());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_PROXY, ""); // the cluster is reached directly, whatever the environment says
    set(CURLOPT_HTTPHEADER, headers);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &watch);
    set(CURLOPT_XFERINFODATA, &transfer);
    set(CURLOPT_WRITEFUNCTION, &take_body);
    set(CURLOPT_WRITEDATA, &transfer);
    if (!options.ca_file.empty())
        set(CURLOPT_CAINFO, options.ca_file.c_str());
}

void HttpClient::Handle::set_method(HttpMethod method, Transfer& transfer) const
{
    if (method == HttpMethod::remove)
        set(CURLOPT_CUSTOMREQUEST, "DELETE");
    if (method != HttpMethod::put)
        return;
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_UPLOAD_BUFFERSIZE, send_buffer_bytes);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(transfer.body_bytes));
    set(CURLOPT_READFUNCTION, &give_body);
    set(CURLOPT_READDATA, &transfer);
    set(CURLOPT_SEEKFUNCTION, &seek_body);
    set(CURLOPT_SEEKDATA, &transfer);
}

HttpClient::HttpClient(HttpOptions options, std::atomic<bool> const& stop) : options_{std::move(options)}, stop_{stop}
{
    initialise_once();
    handle_ = std::make_unique<Handle>();
    if (handle_->curl == nullptr)
        throw HttpError{"libcurl cannot make a handle"};
}

HttpClient::~HttpClient() = default;

HttpReply HttpClient::send(HttpMethod method, std::string const& url, File const* body, std::uint64_t body_bytes)
{
    Transfer transfer{.reply = {},
                      .body = body,
                      .body_bytes = body_bytes,
                      .read_error = {},
                      .stop = &stop_,
                      .bytes_sent = &bytes_sent_};
    handle_->set_common(options_, transfer);
    handle_->set_method(method, transfer);
    handle_->set(CURLOPT_URL, url.c_str());
    CURLcode const result = curl_easy_perform(handle_->curl);
    if (transfer.read_error)
        std::rethrow_exception(transfer.read_error);
    if (transfer.too_long)
        throw HttpError{"the answer is longer than any that WebHDFS gives"};
    if (result != CURLE_OK)
        throw HttpError{printable(handle_->error[0] != 0 ? handle_->error.data() : curl_easy_strerror(result), 200)};
    curl_easy_getinfo(handle_->curl, CURLINFO_RESPONSE_CODE, &transfer.reply.status);
    char* location = nullptr;
    curl_easy_getinfo(handle_->curl, CURLINFO_REDIRECT_URL, &location);
    if (location != nullptr)
        transfer.reply.location = location;
    return std::move(transfer.reply);
}

} // namespace undercroft::collector
