// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The part of QEMU's plugin interface, version 1, that probe_plugin.c uses. Debian
// builds QEMU with plugins but packages no header; these declarations follow the
// published interface (docs/devel/tcg-plugins in QEMU's documentation).
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_PLUGIN_EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* tb, enum qemu_plugin_op op, void* cell,
                                              uint64_t add);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* insn,
                                            void (*callback)(unsigned int cpu, void* data),
                                            enum qemu_plugin_cb_flags flags, void* data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void* data), void* data);
size_t qemu_plugin_tb_n_insns(struct qemu_plugin_tb const* tb);
uint64_t qemu_plugin_tb_vaddr(struct qemu_plugin_tb const* tb);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(struct qemu_plugin_tb const* tb, size_t index);
void const* qemu_plugin_insn_data(struct qemu_plugin_insn const* insn);
size_t qemu_plugin_insn_size(struct qemu_plugin_insn const* insn);
uint64_t qemu_plugin_insn_vaddr(struct qemu_plugin_insn const* insn);
void qemu_plugin_outs(char const* text);
