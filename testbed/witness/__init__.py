# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Independent witnesses: QEMU's own logs and traces, judged against the store."""
