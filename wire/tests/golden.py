#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Makes golden.hpp: the bytes of published version 1, from the format pages and RFC 8439 alone.

ChaCha20-Poly1305 is written out here after RFC 8439 and checked against its test vectors, so that
the sensor's and the collector's common library is compared with something that is not itself.

    golden.py            print golden.hpp
    golden.py --check F  fail unless F is what would be printed
"""
import hashlib
import hmac
import struct
import sys

MASK = 0xFFFFFFFF


def rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & MASK


def quarter_round(s: list[int], a: int, b: int, c: int, d: int) -> None:
    for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & MASK
        s[z] = rotate(s[z] ^ s[x], bits)


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter,
             *struct.unpack("<3I", nonce)]
    state = list(start)
    for _ in range(10):
        for column in range(4):
            quarter_round(state, column, column + 4, column + 8, column + 12)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter_round(state, a, b, c, d)
    return struct.pack("<16I", *((x + y) & MASK for x, y in zip(state, start)))


def chacha20(key: bytes, counter: int, nonce: bytes, text: bytes) -> bytes:
    out = bytearray()
    for at in range(0, len(text), 64):
        block = chacha20_block(key, counter + at // 64, nonce)
        out += bytes(x ^ y for x, y in zip(text[at:at + 64], block))
    return bytes(out)


def poly1305(key: bytes, message: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(key[16:], "little")
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + s) % (1 << 128)).to_bytes(16, "little")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def seal(key: bytes, nonce: bytes, aad: bytes, text: bytes) -> tuple[bytes, bytes]:
    ciphertext = chacha20(key, 1, nonce, text)
    one_time = chacha20_block(key, 0, nonce)[:32]
    tag = poly1305(one_time, padded(aad) + padded(ciphertext) + struct.pack("<QQ", len(aad), len(ciphertext)))
    return ciphertext, tag


def check_rfc_8439() -> None:
    # Section 2.3.2
    block = chacha20_block(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000"))
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"), block.hex()
    # Section 2.5.2
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    assert poly1305(key, b"Cryptographic Forum Research Group").hex() == "a8061dc1305136c6c22b8baf0c0127a9"
    # Section 2.8.2
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
            b"sunscreen would be it.")
    ciphertext, tag = seal(bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647"),
                           bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), text)
    assert ciphertext.hex().startswith("d31a8d34648e60db7b86afbc53ef7ec2"), ciphertext.hex()
    assert tag.hex() == "1ae10b594f09e26a7e902ecbd0600691", tag.hex()


def record(time: int, address: int, length: int, kind: int, page_class: int, source: int, entropy: int, flags: int,
           content_bytes: int) -> bytes:
    """docs/formats/record.md: 32 bytes, little endian, no padding."""
    return struct.pack("<QQIBBHHHI", time, address, length, kind, page_class, source, entropy, flags, content_bytes)


def datagram(psk: bytes, direction: bytes, kind: int, stream: int, machine: bytes, boot: bytes, instance: int,
             counter: int, first_sequence: int, count: int, plaintext: bytes) -> bytes:
    """docs/formats/datagram.md: clear header of 72 bytes, ciphertext, tag of 16."""
    header = b"UCF1" + struct.pack("<BBH", 1, kind, stream) + machine + boot
    header += struct.pack("<QQQII", instance, counter, first_sequence, count, len(plaintext))
    assert len(header) == 72
    key = hmac.new(psk, b"undercroft-v1" + direction + machine + boot + struct.pack("<Q", instance),
                   hashlib.sha256).digest()
    ciphertext, tag = seal(key, struct.pack("<IQ", 0, counter), header, plaintext)
    return header + ciphertext + tag


def samples() -> dict[str, bytes]:
    psk = bytes(range(32))
    machine = bytes(range(0x10, 0x20))
    boot = bytes(range(0xF0, 0x100))
    write = record(0x1122334455667788, 0x0102030405060708, 16, 2, 0, 0x0203, 0xABCD, 0x0F, 16)
    flush = record(0x1122334455667789, 0, 0, 3, 0, 0x0203, 0, 0x03, 0)
    slot = write + bytes(range(16)) + flush
    data_body = struct.pack("<QQIIHHI", 9, 4, len(slot), 0, 0, 1, 0)
    ack_body = struct.pack("<QQ", 10, 77) + struct.pack("<QQ", 12, 0b101)
    derived = hmac.new(psk, b"undercroft-v1" + b"s" + machine + boot + struct.pack("<Q", 0), hashlib.sha256).digest()
    return {
        "record_write": write,
        "record_flush": flush,
        "key_from_sensor": derived,
        "datagram_data": datagram(psk, b"s", 2, 1, machine, boot, 0, 0x0A0B0C0D0E0F, 1000, 2, data_body + slot),
        "datagram_ack": datagram(psk, b"c", 3, 1, machine, boot, 0x1234567890ABCDEF, 3, 0, 1, ack_body),
    }


def text() -> str:
    lines = ["// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0",
             "// Made by golden.py; never changes for a published version of the format.", "#pragma once",
             "#include <array>", "#include <cstdint>", "", "namespace undercroft::wire::golden {", "",
             "// clang-format off"]
    for name, data in samples().items():
        lines.append(f"inline constexpr std::array<std::uint8_t, {len(data)}> {name}{{{{")
        for at in range(0, len(data), 16):
            lines.append("    " + " ".join(f"0x{byte:02x}," for byte in data[at:at + 16]))
        lines.append("}};")
    lines += ["// clang-format on", "", "} // namespace undercroft::wire::golden", ""]
    return "\n".join(lines)


def main() -> int:
    check_rfc_8439()
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="utf-8") as file:
            if file.read() != text():
                print(f"{sys.argv[2]} differs from what golden.py makes", file=sys.stderr)
                return 1
        return 0
    sys.stdout.write(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
