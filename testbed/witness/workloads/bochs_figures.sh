# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Phases for the counter outside: 3 to 4 disk commands, 4 to 5 rest. Settings: COMMANDS, REST_SECONDS.
: "${COMMANDS:=100}" "${REST_SECONDS:=2}"
result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
disk=$(disk test0)
sync
mark 3
dd if=/bin/busybox of="$disk" bs=4096 count="$COMMANDS" seek=64 oflag=direct 2>/dev/null || exit 1
mark 4
sleep "$REST_SECONDS"
mark 5
