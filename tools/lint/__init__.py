# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
