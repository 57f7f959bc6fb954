# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Nothing but reaching userspace: for boot times, and to see that every CPU came up.
result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
result kernel "\"$(uname -r)\""
