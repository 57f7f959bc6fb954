// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the compiler and the C++ library expect of every environment, besides memory_functions.cpp.
#include <cstddef>
#include <cstdint>
#include <new>

#include "hypervisor/core/log.hpp"

extern "C" {

[[noreturn]] static void stop(std::string_view why)
{
    undercroft::core::log_line(undercroft::core::LogLevel::error, why);
    for (;;)
        asm volatile("cli; hlt");
}

[[noreturn]] void abort()
{
    stop("sensor bug: abort()");
}
[[noreturn]] void __cxa_pure_virtual()
{
    stop("sensor bug: pure virtual call");
}
[[noreturn]] void __stack_chk_fail()
{
    stop("sensor bug: stack overrun");
}
int __cxa_atexit(void (*)(void*), void*, void*)
{
    return 0;
} // nothing is ever destroyed
void* __dso_handle = nullptr;

} // extern "C"

void operator delete(void*) noexcept {}
void operator delete(void*, std::size_t) noexcept {}
void operator delete(void*, std::align_val_t) noexcept {}
void operator delete(void*, std::size_t, std::align_val_t) noexcept {}

namespace std {
void __throw_bad_function_call()
{
    stop("sensor bug: empty function");
}
void __throw_length_error(char const* why)
{
    stop(why);
}
void __throw_logic_error(char const* why)
{
    stop(why);
}
void __throw_out_of_range_fmt(char const* why, ...)
{
    stop(why);
}
} // namespace std
