# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Encryption by the guest's libcrypto. The key follows from the seed, which the run's report names: nothing is ever lost for good."""

from __future__ import annotations

import ctypes
import hashlib

_LIBRARY = "libcrypto.so.3"
NAMES = ("chacha20", "aes_256_ctr", "aes_256_cbc")


class Cipher:
    """One stream of bytes, of the same length after it (CBC without padding: whole blocks, the rest is left as it is)."""

    _crypto: ctypes.CDLL | None = None

    def __init__(self, name: str, key: bytes, nonce: bytes) -> None:
        crypto = Cipher._load()
        self._cbc = name.endswith("cbc")
        self._context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
        method = ctypes.c_void_p(getattr(crypto, f"EVP_{name}")())
        if crypto.EVP_EncryptInit_ex(self._context, method, None, key, nonce) != 1:
            raise RuntimeError(f"libcrypto refused {name}")
        crypto.EVP_CIPHER_CTX_set_padding(self._context, 0)

    @classmethod
    def _load(cls) -> ctypes.CDLL:
        if cls._crypto is None:
            cls._crypto = ctypes.CDLL(_LIBRARY)
            for name in NAMES:
                getattr(cls._crypto, f"EVP_{name}").restype = ctypes.c_void_p
            cls._crypto.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
        return cls._crypto

    def encrypt(self, data: bytes) -> bytes:
        whole = len(data) & ~15 if self._cbc else len(data)
        out = ctypes.create_string_buffer(whole + 32)
        length = ctypes.c_int(0)
        if whole and Cipher._load().EVP_EncryptUpdate(self._context, out, ctypes.byref(length), data, whole) != 1:
            raise RuntimeError("libcrypto did not encrypt")
        return out.raw[:length.value] + data[whole:]

    def close(self) -> None:
        Cipher._load().EVP_CIPHER_CTX_free(self._context)


def for_file(name: str, seed: int, path: str) -> Cipher:
    key = hashlib.sha256(f"test-bed key {seed}".encode()).digest()
    return Cipher(name, key, hashlib.sha256(path.encode()).digest()[:16])
