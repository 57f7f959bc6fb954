# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# A shell on the serial console; use it with `lab run --interactive`. `exit` powers the machine off.
setsid cttyhack sh
