/* Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0 */
/* Compiler and platform for lwIP: freestanding clang on x86-64. */
#ifndef UNDERCROFT_LWIP_CC_H
#define UNDERCROFT_LWIP_CC_H

#include <stddef.h>
#include <stdint.h>

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_CTYPE_H 1
#define SSIZE_MAX INTPTR_MAX
typedef intptr_t ssize_t;
#define X8_F "x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#ifdef __cplusplus
extern "C" {
#endif
/* Counts and logs; lwIP goes on. A byte from the network must not stop the machine. */
void undercroft_lwip_assert(char const* message);
/* Not for secrets: port numbers and transaction ids. */
uint32_t undercroft_lwip_random(void);
#ifdef __cplusplus
}
#endif

#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(x) undercroft_lwip_assert(x)
#define LWIP_RAND() undercroft_lwip_random()

/* netif_find(), which nobody calls, needs these two; there is no libc to take them from. */
#ifndef __cplusplus
#include <stdlib.h>
#include <string.h>
#define atoi(text) (-1)
#define strncmp(one, other, bytes) memcmp(one, other, bytes)
#endif

#endif
