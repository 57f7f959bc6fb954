# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Emulated machines, guest images, workloads and witnesses. Start with `testbed/lab --help`."""
