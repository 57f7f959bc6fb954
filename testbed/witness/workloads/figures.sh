# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Phases for the counter outside: 3 to 4 disk commands; 5 to 6 a second's rest; 6 to 7 the same and REST_SECONDS more.
# What the two have in common is what starting a program and marking cost. Settings: COMMANDS, REST_SECONDS.
: "${COMMANDS:=100}" "${REST_SECONDS:=10}"
result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
disk=$(disk test0)
sync
sleep 1
mark 3
dd if=/bin/busybox of="$disk" bs=4096 count="$COMMANDS" seek=64 oflag=direct 2>/dev/null || exit 1
mark 4
sleep 1 # what is left is sent
mark 5
sleep 1
mark 6
sleep $((REST_SECONDS + 1))
mark 7
