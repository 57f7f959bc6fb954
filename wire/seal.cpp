// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "wire/seal.hpp"

#include <bearssl.h>

namespace undercroft::wire {
namespace {

using Nonce = std::array<std::uint8_t, 12>;

Nonce nonce_of(DatagramHeader const& header)
{
    Nonce nonce{};
    std::uint64_t const counter = header.counter.get();
    for (std::size_t i = 0; i < 8; ++i)
        nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
    return nonce;
}

/// Encrypts or decrypts the sealed part in place and computes the tag over header and ciphertext.
void run_aead(Key const& key, std::span<std::uint8_t> datagram, std::size_t sealed, std::uint8_t* tag, int encrypt)
{
    DatagramHeader header;
    __builtin_memcpy(&header, datagram.data(), sizeof(header));
    Nonce const nonce = nonce_of(header);
    br_poly1305_ctmulq_run(key.data(), nonce.data(), datagram.data() + sizeof(header), sealed, datagram.data(),
                           sizeof(header), tag, &br_chacha20_ct_run, encrypt);
}

} // namespace

Key derive_key(Key const& pre_shared, Direction direction, std::span<std::uint8_t const, 16> machine_id,
               std::span<std::uint8_t const, 16> boot_id, std::uint64_t instance)
{
    static constexpr char label[] = "undercroft-v1";
    br_hmac_key_context key_context;
    br_hmac_context context;
    br_hmac_key_init(&key_context, &br_sha256_vtable, pre_shared.data(), pre_shared.size());
    br_hmac_init(&context, &key_context, 0);
    br_hmac_update(&context, label, sizeof(label) - 1);
    auto const direction_byte = static_cast<std::uint8_t>(direction);
    br_hmac_update(&context, &direction_byte, 1);
    br_hmac_update(&context, machine_id.data(), machine_id.size());
    br_hmac_update(&context, boot_id.data(), boot_id.size());
    Le<std::uint64_t> const le_instance{instance};
    br_hmac_update(&context, &le_instance, sizeof(le_instance));
    Key derived;
    br_hmac_out(&context, derived.data());
    return derived;
}

void seal(Key const& key, std::span<std::uint8_t> datagram)
{
    std::size_t const sealed = datagram.size() - datagram_overhead;
    run_aead(key, datagram, sealed, datagram.data() + sizeof(DatagramHeader) + sealed, 1);
}

bool open(Key const& key, std::span<std::uint8_t> datagram)
{
    if (datagram.size() < datagram_overhead)
        return false;
    DatagramHeader header;
    __builtin_memcpy(&header, datagram.data(), sizeof(header));
    std::size_t const sealed = header.sealed_bytes.get();
    if (header.magic.get() != datagram_magic || header.version.get() != datagram_version ||
        sealed != datagram.size() - datagram_overhead)
        return false;
    std::array<std::uint8_t, tag_bytes> tag;
    run_aead(key, datagram, sealed, tag.data(), 0);
    std::uint8_t difference = 0;
    for (std::size_t i = 0; i < tag_bytes; ++i)
        difference |= static_cast<std::uint8_t>(tag[i] ^ datagram[sizeof(header) + sealed + i]);
    return difference == 0;
}

} // namespace undercroft::wire
