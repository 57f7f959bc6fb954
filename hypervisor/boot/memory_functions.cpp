// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the compiler expects of every environment, even a freestanding one: part of the core and of the
// UEFI application. Volatile accesses keep loops from becoming calls to the functions that they are.
#include <cstddef>
#include <cstdint>

extern "C" {

void* memcpy(void* __restrict to, void const* __restrict from, std::size_t bytes)
{
    void* const result = to;
    std::size_t words = bytes / 8;
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    bytes %= 8;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return result;
}

void* memset(void* to, int value, std::size_t bytes)
{
    void* const result = to;
    std::uint64_t const pattern = 0x0101010101010101ULL * static_cast<std::uint8_t>(value);
    std::size_t words = bytes / 8;
    asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
    bytes %= 8;
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
    return result;
}

void* memmove(void* to, void const* from, std::size_t bytes)
{
    auto* const target = static_cast<unsigned char*>(to);
    auto const* const source = static_cast<unsigned char const*>(from);
    if (target <= source || target >= source + bytes)
        return memcpy(to, from, bytes);
    for (std::size_t i = bytes; i-- > 0;)
        const_cast<unsigned char volatile*>(target)[i] = source[i];
    return to;
}

int memcmp(void const* a, void const* b, std::size_t bytes)
{
    auto const* const left = static_cast<unsigned char const volatile*>(a);
    auto const* const right = static_cast<unsigned char const volatile*>(b);
    for (std::size_t i = 0; i < bytes; ++i) {
        int const difference = left[i] - right[i];
        if (difference != 0)
            return difference;
    }
    return 0;
}

std::size_t strlen(char const* text)
{
    auto const volatile* const bytes = text;
    std::size_t length = 0;
    while (bytes[length] != 0)
        ++length;
    return length;
}

} // extern "C"
