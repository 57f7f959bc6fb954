// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the compiler expects of every environment, even a freestanding one.
#include <cstddef>
#include <new>
#include <cstdint>

#include "hypervisor/core/log.hpp"

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
    // Overlapping upwards: from the end. A volatile access keeps the loop from becoming a call to memmove.
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

[[noreturn]] static void stop(std::string_view why)
{
    undercroft::core::log_line(undercroft::core::LogLevel::error, why);
    for (;;)
        asm volatile("cli; hlt");
}

[[noreturn]] void abort() { stop("sensor bug: abort()"); }
[[noreturn]] void __cxa_pure_virtual() { stop("sensor bug: pure virtual call"); }
[[noreturn]] void __stack_chk_fail() { stop("sensor bug: stack overrun"); }
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; } // nothing is ever destroyed
void* __dso_handle = nullptr;

} // extern "C"

void operator delete(void*) noexcept {}
void operator delete(void*, std::size_t) noexcept {}
void operator delete(void*, std::align_val_t) noexcept {}
void operator delete(void*, std::size_t, std::align_val_t) noexcept {}

namespace std {
void __throw_bad_function_call() { stop("sensor bug: empty function"); }
void __throw_length_error(char const* why) { stop(why); }
void __throw_logic_error(char const* why) { stop(why); }
void __throw_out_of_range_fmt(char const* why, ...) { stop(why); }
} // namespace std
