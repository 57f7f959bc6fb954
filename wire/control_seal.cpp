// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "wire/control_seal.hpp"

#include <bearssl.h>

namespace undercroft::wire {
namespace {

AeadNonce nonce_of(std::span<std::uint8_t const> message)
{
    AeadNonce nonce;
    __builtin_memcpy(nonce.data(), message.data() + offsetof(ControlHeader, nonce), nonce.size());
    return nonce;
}

} // namespace

Key derive_control_key(Key const& control_key, ControlKind kind, BootId const& boot_id)
{
    static constexpr char label[] = "undercroft-control-v1";
    br_hmac_key_context key_context;
    br_hmac_context context;
    br_hmac_key_init(&key_context, &br_sha256_vtable, control_key.data(), control_key.size());
    br_hmac_init(&context, &key_context, 0);
    br_hmac_update(&context, label, sizeof(label) - 1);
    auto const direction = static_cast<std::uint8_t>(kind);
    br_hmac_update(&context, &direction, 1);
    br_hmac_update(&context, boot_id.data(), boot_id.size());
    Key derived;
    br_hmac_out(&context, derived.data());
    return derived;
}

AeadNonce control_answer_nonce(std::uint64_t counter)
{
    AeadNonce nonce{};
    for (std::size_t i = 0; i < 8; ++i)
        nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
    return nonce;
}

void seal_control(Key const& key, std::span<std::uint8_t> message)
{
    std::size_t const sealed = message.size() - control_overhead;
    Tag const tag = aead_seal(key, nonce_of(message), message.first(sizeof(ControlHeader)),
                              message.subspan(sizeof(ControlHeader), sealed));
    __builtin_memcpy(message.data() + sizeof(ControlHeader) + sealed, tag.data(), tag.size());
}

std::size_t control_message_bytes(std::span<std::uint8_t const> buffer, ControlKind kind)
{
    if (buffer.size() < control_overhead)
        return 0;
    ControlHeader header;
    __builtin_memcpy(&header, buffer.data(), sizeof(header));
    std::size_t const sealed = header.sealed_bytes.get();
    bool const known = header.magic.get() == control_magic && header.version.get() == control_version &&
                       header.kind.get() == static_cast<std::uint8_t>(kind) && header.reserved.get() == 0;
    return known && sealed <= buffer.size() - control_overhead ? control_overhead + sealed : 0;
}

bool open_control(Key const& key, std::span<std::uint8_t> message)
{
    return aead_open(key, nonce_of(message), message.first(sizeof(ControlHeader)),
                     message.subspan(sizeof(ControlHeader), message.size() - control_overhead),
                     message.last<tag_bytes>());
}

} // namespace undercroft::wire
