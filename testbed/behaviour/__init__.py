# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Workloads that a detector learns from: encryptors written for this test bed, and ordinary programs that look like them."""
