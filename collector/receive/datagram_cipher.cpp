// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/receive/datagram_cipher.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstring>
#include <stdexcept>

namespace undercroft::collector {
namespace {

/// Looked up once: fetching the algorithm by name costs more than sealing a datagram with it.
EVP_CIPHER const* chacha20_poly1305()
{
    static EVP_CIPHER const* const cipher = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
    if (cipher == nullptr)
        throw std::runtime_error{"ChaCha20-Poly1305 is not available in this OpenSSL"};
    return cipher;
}

wire::AeadNonce nonce_of(std::span<std::uint8_t const> datagram)
{
    wire::AeadNonce nonce{};
    std::memcpy(nonce.data() + 4, datagram.data() + offsetof(wire::DatagramHeader, counter), 8);
    return nonce;
}

} // namespace

void DatagramCipher::Free::operator()(evp_cipher_ctx_st* context) const
{
    EVP_CIPHER_CTX_free(context);
}

DatagramCipher::DatagramCipher(wire::Key const& key, Use use) : context_{EVP_CIPHER_CTX_new()}
{
    if (!context_ || EVP_CipherInit_ex2(context_.get(), chacha20_poly1305(), key.data(), nullptr,
                                        use == Use::seal ? 1 : 0, nullptr) != 1)
        throw std::runtime_error{"ChaCha20-Poly1305 cannot be set up"};
}

DatagramCipher::~DatagramCipher() = default;

void DatagramCipher::use_key(wire::Key const& key)
{
    if (EVP_CipherInit_ex2(context_.get(), nullptr, key.data(), nullptr, -1, nullptr) != 1)
        throw std::runtime_error{"ChaCha20-Poly1305 takes no key"};
}

bool DatagramCipher::open(std::span<std::uint8_t> datagram)
{
    if (datagram.size() < wire::datagram_overhead)
        return false;
    auto const nonce = nonce_of(datagram);
    std::size_t const sealed = datagram.size() - wire::datagram_overhead;
    std::uint8_t* const text = datagram.data() + sizeof(wire::DatagramHeader);
    EVP_CIPHER_CTX* const context = context_.get();
    int length = 0;
    // With the tag given, the last step compares it in constant time.
    return EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, wire::tag_bytes, text + sealed) == 1 &&
           EVP_DecryptUpdate(context, nullptr, &length, datagram.data(), sizeof(wire::DatagramHeader)) == 1 &&
           (sealed == 0 || EVP_DecryptUpdate(context, text, &length, text, static_cast<int>(sealed)) == 1) &&
           EVP_DecryptFinal_ex(context, text + sealed, &length) == 1;
}

void DatagramCipher::seal(std::span<std::uint8_t> datagram)
{
    auto const nonce = nonce_of(datagram);
    std::size_t const sealed = datagram.size() - wire::datagram_overhead;
    std::uint8_t* const text = datagram.data() + sizeof(wire::DatagramHeader);
    EVP_CIPHER_CTX* const context = context_.get();
    int length = 0;
    if (EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
        EVP_EncryptUpdate(context, nullptr, &length, datagram.data(), sizeof(wire::DatagramHeader)) != 1 ||
        (sealed != 0 && EVP_EncryptUpdate(context, text, &length, text, static_cast<int>(sealed)) != 1) ||
        EVP_EncryptFinal_ex(context, text + sealed, &length) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, wire::tag_bytes, text + sealed) != 1)
        throw std::runtime_error{"sealing a datagram failed"};
}

} // namespace undercroft::collector
