// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "wire/seal.hpp"

#include <bearssl.h>

namespace undercroft::wire {
namespace {

AeadNonce nonce_of(DatagramHeader const& header)
{
    AeadNonce nonce{};
    std::uint64_t const counter = header.counter.get();
    for (std::size_t i = 0; i < 8; ++i)
        nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
    return nonce;
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
    DatagramHeader header;
    __builtin_memcpy(&header, datagram.data(), sizeof(header));
    std::size_t const sealed = datagram.size() - datagram_overhead;
    Tag const tag =
        aead_seal(key, nonce_of(header), datagram.first(sizeof(header)), datagram.subspan(sizeof(header), sealed));
    __builtin_memcpy(datagram.data() + sizeof(header) + sealed, tag.data(), tag.size());
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
    return aead_open(key, nonce_of(header), datagram.first(sizeof(header)), datagram.subspan(sizeof(header), sealed),
                     datagram.last<tag_bytes>());
}

} // namespace undercroft::wire
