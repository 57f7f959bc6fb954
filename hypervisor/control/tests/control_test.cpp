// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Requests are made and answers opened with OpenSSL from wire/control.hpp's text, not with our own sealing.
#include "hypervisor/control/control.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <memory>

#include "hypervisor/control/tests/control_fixture.hpp"

namespace undercroft::control {
namespace {

using Bytes = std::vector<std::uint8_t>;
using wire::ControlCommand;
using wire::ControlHeader;
using wire::ControlResult;

constexpr std::size_t header_bytes = 64, tag_bytes = 16;

Bytes derived(wire::Key const& control_key, char direction, wire::BootId const& boot_id)
{
    std::string text = "undercroft-control-v1";
    text += direction;
    text.append(reinterpret_cast<char const*>(boot_id.data()), boot_id.size());
    Bytes key(32);
    unsigned length = 0;
    HMAC(EVP_sha256(), control_key.data(), 32, reinterpret_cast<unsigned char const*>(text.data()), text.size(),
         key.data(), &length);
    return key;
}

/// ChaCha20-Poly1305 over message = header | text | tag, nonce at 48.
bool run_openssl(Bytes const& key, Bytes& message, bool encrypt)
{
    int const text = static_cast<int>(message.size() - header_bytes - tag_bytes);
    int out = 0;
    std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
    EVP_CipherInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, key.data(), message.data() + 48,
                      encrypt ? 1 : 0);
    std::uint8_t* const tag = message.data() + message.size() - tag_bytes;
    if (!encrypt)
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, tag_bytes, tag);
    EVP_CipherUpdate(context.get(), nullptr, &out, message.data(), header_bytes);
    EVP_CipherUpdate(context.get(), message.data() + header_bytes, &out, message.data() + header_bytes, text);
    if (EVP_CipherFinal_ex(context.get(), message.data() + header_bytes + text, &out) != 1)
        return false;
    if (encrypt)
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, tag_bytes, tag);
    return true;
}

struct Request {
    ControlCommand command = ControlCommand::status;
    std::uint64_t argument = 0;
    std::uint64_t counter = fixture_start_ns + 1;
    wire::BootId boot_id = fixture_identity().boot_id;
    wire::Key control_key = fixture_identity().control_key;
    Bytes more{}; ///< behind the request

    [[nodiscard]] Bytes sealed() const
    {
        Bytes message(header_bytes + 16 + more.size() + tag_bytes);
        std::copy(more.begin(), more.end(), message.begin() + header_bytes + 16);
        ControlHeader header{};
        header.magic = std::uint32_t{0x31434355};
        header.version = std::uint8_t{1};
        header.kind = std::uint8_t{'q'};
        header.counter = counter;
        std::memset(header.request_id, 0x77, 16);
        std::memcpy(header.boot_id, boot_id.data(), 16);
        std::memset(header.nonce, 0x55, 12);
        header.sealed_bytes = static_cast<std::uint32_t>(16 + more.size());
        std::memcpy(message.data(), &header, sizeof(header));
        message[header_bytes] = static_cast<std::uint8_t>(command);
        for (unsigned i = 0; i < 8; ++i)
            message[header_bytes + 8 + i] = static_cast<std::uint8_t>(argument >> (8 * i));
        EXPECT_TRUE(run_openssl(derived(control_key, 'q', boot_id), message, true));
        return message;
    }
};

class Control : public testing::Test {
protected:
    Control() { server_->set_up(fixture_identity(), target_); }

    Answer call(Bytes const& message, std::uint64_t bytes = 8192)
    {
        std::copy(message.begin(), message.end(), memory_.bytes.begin());
        return server_->handle(wire::control_hypercall, ProgramMemory::base, bytes, memory_);
    }
    Answer call(Request const& request, std::uint64_t bytes = 8192) { return call(request.sealed(), bytes); }
    /// The answer's plaintext.
    Bytes opened()
    {
        ControlHeader header;
        std::memcpy(&header, memory_.bytes.data(), sizeof(header));
        EXPECT_EQ('a', header.kind.get());
        EXPECT_EQ(0x77, header.request_id[0]);
        EXPECT_EQ(0, std::memcmp(header.boot_id, fixture_identity().boot_id.data(), 16));
        Bytes message(memory_.bytes.begin(),
                      memory_.bytes.begin() +
                          static_cast<std::ptrdiff_t>(header_bytes + header.sealed_bytes.get() + tag_bytes));
        EXPECT_TRUE(
            run_openssl(derived(fixture_identity().control_key, 'a', fixture_identity().boot_id), message, false));
        return {message.begin() + header_bytes, message.end() - tag_bytes};
    }

    RememberingTarget target_;
    ProgramMemory memory_;
    std::unique_ptr<ControlServer> server_ = std::make_unique<ControlServer>();
};

TEST_F(Control, HelloTellsTheBoot)
{
    Request hello{.command = ControlCommand::hello, .boot_id = {}};
    ASSERT_EQ(Answer::done, call(hello));
    Bytes const text = opened();
    ASSERT_EQ(8U + 80U, text.size());
    EXPECT_EQ(0, text[0]);
    EXPECT_EQ(1, text[2]);
    EXPECT_EQ(80, text[4]);
    EXPECT_EQ(0, std::memcmp(text.data() + 8, fixture_identity().boot_id.data(), 16));
    EXPECT_STREQ("0.1.0-test", reinterpret_cast<char const*>(text.data() + 8 + 32));
    EXPECT_STREQ("svm", reinterpret_cast<char const*>(text.data() + 8 + 64));
    EXPECT_EQ(1U, memory_.reads) << "the request is copied once";
    EXPECT_EQ(1U, memory_.writes);
}

TEST_F(Control, StartAndStopSwitchCapture)
{
    ASSERT_EQ(Answer::done, call(Request{.command = ControlCommand::stop}));
    EXPECT_FALSE(target_.capturing);
    EXPECT_EQ(0, opened()[8 + 94]);
    ASSERT_EQ(Answer::done, call(Request{.command = ControlCommand::start, .counter = fixture_start_ns + 2}));
    EXPECT_TRUE(target_.capturing);
    EXPECT_EQ(1, opened()[8 + 94]);
    EXPECT_EQ(2U, target_.switched);
}

TEST_F(Control, CountersAndLog)
{
    target_.lines = {"one\n", "two\n", "three\n"};
    ASSERT_EQ(Answer::done, call(Request{.command = ControlCommand::counters}));
    Bytes const counters = opened();
    ASSERT_EQ(8U + 3 * 16, counters.size());
    EXPECT_EQ(32, counters[8 + 16]);
    EXPECT_EQ(1032 & 0xff, counters[8 + 16 + 8]);
    ASSERT_EQ(Answer::done,
              call(Request{.command = ControlCommand::log, .argument = 1, .counter = fixture_start_ns + 2}));
    Bytes const log = opened();
    EXPECT_EQ("two\nthree\n", std::string(log.begin() + 8 + 24, log.end()));
    EXPECT_EQ(3, log[8]);
}

TEST_F(Control, MemoryRequestsAreCopiedAndAnswered)
{
    Bytes more(48);
    more[0] = 1;                    // mode access
    more[2] = 1;                    // start
    more[8] = 0x10, more[9] = 0x27; // every 10,000 us
    ASSERT_EQ(Answer::done, call({.command = ControlCommand::memory, .more = more}));
    ASSERT_EQ(1U, target_.asked.size());
    EXPECT_EQ(1, target_.asked[0].mode.get());
    EXPECT_EQ(10'000U, target_.asked[0].period_us.get());
    Bytes const answer = opened();
    ASSERT_EQ(8U + 4 * 112, answer.size());
    EXPECT_EQ(77, answer[8 + 72]) << "cycles of the first mode";
    target_.memory_result = wire::ControlResult::busy;
    ASSERT_EQ(Answer::done, call({.command = ControlCommand::memory, .counter = fixture_start_ns + 2, .more = more}));
    Bytes const busy = opened();
    ASSERT_EQ(8U, busy.size());
    EXPECT_EQ(5, busy[0]);
}

TEST_F(Control, OnlyMemoryHasARequestBehindIt)
{
    std::uint64_t counter = fixture_start_ns;
    ASSERT_EQ(Answer::done, call({.command = ControlCommand::memory, .counter = ++counter}));
    EXPECT_EQ(2, opened()[0]) << "bad request";
    ASSERT_EQ(Answer::done, call({.command = ControlCommand::status, .counter = ++counter, .more = Bytes(48)}));
    EXPECT_EQ(2, opened()[0]);
    for (std::size_t const bytes : {1U, 47U, 49U, 96U})
        EXPECT_EQ(Answer::inject_undefined,
                  call({.command = ControlCommand::memory, .counter = ++counter, .more = Bytes(bytes)}));
    EXPECT_TRUE(target_.asked.empty());
}

TEST_F(Control, AnythingUnverifiedIsAnUndefinedInstruction)
{
    Bytes const good = Request{.command = ControlCommand::stop}.sealed();
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
        ASSERT_EQ(Answer::inject_undefined, call(bad)) << "bit " << bit;
    }
    EXPECT_EQ(0U, target_.switched);
    EXPECT_EQ(0U, memory_.writes) << "nothing tells that anybody listened";
    Request other_key{.command = ControlCommand::stop};
    other_key.control_key[0] ^= 1;
    EXPECT_EQ(Answer::inject_undefined, call(other_key));
    EXPECT_EQ(Answer::done, call(good));
}

TEST_F(Control, ReplayedAndStaleRequestsAreRefused)
{
    Bytes const stop = Request{.command = ControlCommand::stop, .counter = fixture_start_ns + 10}.sealed();
    EXPECT_EQ(Answer::done, call(stop));
    EXPECT_EQ(Answer::inject_undefined, call(stop));
    EXPECT_EQ(Answer::inject_undefined, call(Request{.counter = fixture_start_ns + 9}));
    EXPECT_EQ(Answer::inject_undefined, call(Request{.counter = fixture_start_ns}));
    EXPECT_EQ(Answer::done, call(Request{.counter = fixture_start_ns + 11}));
    EXPECT_EQ(1U, target_.switched);
}

TEST_F(Control, RecordingsOfAnotherBootAreRefusedEvenWhenTheClockWasSetBack)
{
    Request recorded{.command = ControlCommand::stop, .counter = ~std::uint64_t{0} - 1};
    recorded.boot_id[0] ^= 1;
    EXPECT_EQ(Answer::inject_undefined, call(recorded));
    Request nameless{.command = ControlCommand::stop, .boot_id = {}};
    EXPECT_EQ(Answer::inject_undefined, call(nameless)) << "only hello may come without a boot id";
    EXPECT_EQ(Answer::inject_undefined, call(Request{.command = ControlCommand::hello}));
    EXPECT_EQ(0U, target_.switched);
}

TEST_F(Control, RegistersOutsideTheContractAreRefused)
{
    Bytes const good = Request{}.sealed();
    std::copy(good.begin(), good.end(), memory_.bytes.begin());
    std::uint64_t const magic = wire::control_hypercall, base = ProgramMemory::base;
    for (auto [rax, rdi, rsi] : std::initializer_list<std::array<std::uint64_t, 3>>{
             {magic ^ 1, base, 4096},
             {0, base, 4096},
             {magic, base + 8, 4096},
             {magic, base, 0},
             {magic, base, 4095},
             {magic, base, 65536 + 4096},
             {magic, 0, 4096},
             {magic, ~std::uint64_t{0xfff}, 4096},
             {magic, base, ~std::uint64_t{0xfff}},
         })
        EXPECT_EQ(Answer::inject_undefined, server_->handle(rax, rdi, rsi, memory_));
    EXPECT_EQ(Answer::done, server_->handle(magic, base, 4096, memory_));
}

TEST_F(Control, UnwritableBufferIsRefused)
{
    memory_.writable = false;
    EXPECT_EQ(Answer::inject_undefined, call(Request{}));
}

TEST_F(Control, UnknownCommandsAndArgumentsAreNamedToTheKeyHolder)
{
    ASSERT_EQ(Answer::done, call(Request{.command = static_cast<ControlCommand>(99)}));
    EXPECT_EQ(static_cast<std::uint8_t>(ControlResult::unknown_command), opened()[0]);
    ASSERT_EQ(Answer::done, call(Request{.argument = 1, .counter = fixture_start_ns + 2}));
    EXPECT_EQ(static_cast<std::uint8_t>(ControlResult::bad_request), opened()[0]);
}

TEST(ControlServer, BeforeSetUpNobodyAnswers)
{
    auto server = std::make_unique<ControlServer>();
    ProgramMemory memory;
    EXPECT_EQ(Answer::inject_undefined, server->handle(wire::control_hypercall, ProgramMemory::base, 4096, memory));
}

} // namespace
} // namespace undercroft::control
