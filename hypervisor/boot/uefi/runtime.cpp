// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the compiler expects of every environment.
#include <cstddef>

extern "C" {

void* memcpy(void* to, void const* from, std::size_t bytes)
{
    void* const result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return result;
}

void* memset(void* to, int value, std::size_t bytes)
{
    void* const result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return result;
}

void* memmove(void* to, void const* from, std::size_t bytes)
{
    auto* const target = static_cast<unsigned char volatile*>(to);
    auto const* const source = static_cast<unsigned char const*>(from);
    if (to <= from)
        return memcpy(to, from, bytes);
    for (std::size_t i = bytes; i-- > 0;)
        target[i] = source[i];
    return to;
}

int memcmp(void const* a, void const* b, std::size_t bytes)
{
    auto const* const left = static_cast<unsigned char const volatile*>(a);
    auto const* const right = static_cast<unsigned char const volatile*>(b);
    for (std::size_t i = 0; i < bytes; ++i)
        if (left[i] != right[i])
            return left[i] - right[i];
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
