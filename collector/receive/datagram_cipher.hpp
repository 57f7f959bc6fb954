// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The seal of wire/seal.hpp with the processor's vector instructions (OpenSSL chooses them), key set up once.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "wire/aead.hpp"

struct evp_cipher_ctx_st;

namespace undercroft::collector {

class DatagramCipher {
public:
    enum class Use : std::uint8_t { open, seal };
    /// For one direction, boot and instance, as the key is.
    DatagramCipher(wire::Key const& key, Use use);
    ~DatagramCipher();
    DatagramCipher(DatagramCipher&&) noexcept = default;
    DatagramCipher& operator=(DatagramCipher&&) noexcept = default;
    DatagramCipher(DatagramCipher const&) = delete;
    DatagramCipher& operator=(DatagramCipher const&) = delete;

    /// From here on another key.
    void use_key(wire::Key const& key);
    /// As wire::open. The datagram's header must have passed check_header.
    [[nodiscard]] bool open(std::span<std::uint8_t> datagram);
    /// As wire::seal.
    void seal(std::span<std::uint8_t> datagram);

private:
    struct Free {
        void operator()(evp_cipher_ctx_st* context) const;
    };
    std::unique_ptr<evp_cipher_ctx_st, Free> context_;
};

} // namespace undercroft::collector
